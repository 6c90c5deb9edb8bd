"""A session carried to another place: it is replayed there without its target, and holds no path of this machine."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.sealed import sealed, unsealed
from tests.commands import analysis, change, circle, git, plan, review, session_id, shown
from tests.record_sessions import PLACE

Script = Callable[..., str]
BETTER = plan("An intercept", ("intercept", False, True))


@pytest.mark.long
def test_a_session_is_replayed_elsewhere(plain: Path, script: Script, tmp_path: Path) -> None:
    """In an empty folder without git; its weights stay behind, and what it is about is shown."""
    researcher = script(BETTER, change(), review(), analysis())
    name = session_id(circle(plain, "start", "--turbo", "--researcher", researcher, "Rate").stderr)
    file, elsewhere = tmp_path / "session.circle", tmp_path / "elsewhere"
    assert Path(shown(plain, name)["victory"]["checkpoint"]).is_file()
    wrote = circle(plain, "export", name, str(file))
    assert wrote.returncode == 0, wrote.stderr
    with tarfile.open(file) as tar:
        contents = b"".join(member.read() for about in tar if (member := tar.extractfile(about)))
    assert str(plain).encode() not in contents and str(tmp_path).encode() not in contents
    elsewhere.mkdir()
    assert circle(elsewhere, "import", str(file)).returncode == 0
    ended = circle(elsewhere, "replay", name, "--json")
    assert ended.returncode == 0 and json.loads(ended.stdout)["identical"] is True
    assert shown(elsewhere, name)["victory"]["effect"] == shown(plain, name)["victory"]["effect"]
    again, twice = circle(elsewhere, "import", str(file)), circle(plain, "export", name, str(file))
    assert again.returncode == twice.returncode == 1
    assert "already" in again.stderr and "exists already" in twice.stderr
    assert file.stat().st_size < 1_000_000


def test_a_path_in_a_crash_stays_behind(plain: Path, script: Script, tmp_path: Path) -> None:
    """A traceback names files of this machine; the record names them by what they are."""
    bad = 'raise SystemExit(f"no {__file__}")'
    (plain / "model.py").write_text(
        (plain / "model.py").read_text().replace("weights = [w", f"{bad}\n    weights = [w", 1)
    )
    git(plain, "commit", "-qam", "It cannot train")
    name = session_id(circle(plain, "start", "--turbo", "--researcher", script(BETTER), "Rate").stderr)
    file = tmp_path / "session.circle"
    assert circle(plain, "export", name, str(file)).returncode == 0
    with tarfile.open(file) as tar:
        contents = b"".join(member.read() for about in tar if (member := tar.extractfile(about)))
    assert b"<target>" in contents and str(plain).encode() not in contents


def _with_journal(sly: Path, change: Callable[[bytes], bytes]) -> None:
    """Write a recorded session with another journal."""
    with tarfile.open(PLACE / "honest_conclusion.circle") as old, tarfile.open(sly, "w:gz") as new:
        for about in old:
            member = old.extractfile(about)
            assert member is not None
            content = member.read()
            content = change(content) if about.name == "journal.sqlite" else content
            about.size = len(content)
            new.addfile(about, io.BytesIO(content))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"garbage" * 1000,
        lambda content: content.replace(b'"rate"', b'"late"', 1),
        lambda content: content[: len(content) // 2],
    ],
)
def test_a_damaged_record_is_not_brought_in(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    """It is refused when it comes, not found out later; nothing of it stays."""
    _with_journal(tmp_path / "sly.circle", change)
    ended = circle(tmp_path, "import", str(tmp_path / "sly.circle"))
    assert ended.returncode == 1 and "is damaged" in ended.stderr and "Traceback" not in ended.stderr
    assert circle(tmp_path, "list").stdout == "" and not list(tmp_path.glob(".circle/sessions/*"))
    whole = circle(tmp_path, "import", str(PLACE / "honest_conclusion.circle"))
    assert whole.returncode == 0


def test_a_key_of_the_environment_is_not_exported(plain: Path, script: Script, tmp_path: Path) -> None:
    """A reply that repeats it is no reason to carry it elsewhere; nor is a path that JSON writes otherwise."""
    secret = "sk-é-0123456789"
    title, skill = f"Rate with {secret}", BETTER[1] | {"title": f"Rate with {secret}"}
    name = session_id(
        circle(plain, "start", "--researcher", script((BETTER[0], skill), change(), review()), title).stderr
    )
    refused = circle(plain, "export", name, str(tmp_path / "session.circle"), SOME_API_KEY=secret)
    assert refused.returncode == 1 and "holds the value of SOME_API_KEY" in refused.stderr
    assert secret not in refused.stderr and not (tmp_path / "session.circle").exists()


@pytest.mark.parametrize("content", [b"", b"nothing", None])
def test_what_is_no_session_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """In a sentence; nothing is written outside the folder of sessions."""
    file = tmp_path / "sly.circle"
    if content is None:
        with tarfile.open(file, "w:gz") as tar:
            about = tarfile.TarInfo("../escaped")
            about.size = 1
            tar.addfile(about, io.BytesIO(b"x"))
    else:
        file.write_bytes(content)
    ended = circle(tmp_path, "import", str(file))
    assert ended.returncode == 1 and "Traceback" not in ended.stderr and len(ended.stderr.splitlines()) == 1
    assert not (tmp_path.parent / "escaped").exists()


@pytest.mark.parametrize("field", ["base", "origin", "id"])
def test_a_record_from_elsewhere_gives_git_no_orders(tmp_path: Path, field: str) -> None:
    """What a session says of its commits is a commit's hash, or the session is none."""
    sly = tmp_path / "sly.circle"
    with tarfile.open(PLACE / "honest_conclusion.circle") as old, tarfile.open(sly, "w:gz") as new:
        for about in old:
            member = old.extractfile(about)
            assert member is not None
            content = member.read()
            if about.name == "session.json":
                content = sealed(unsealed(content) | {field: f"--output={tmp_path}/victim"})
            about.size = len(content)
            new.addfile(about, io.BytesIO(content))
    ended = circle(tmp_path, "import", str(sly))
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert not (tmp_path / "victim").exists() and circle(tmp_path, "list").stdout == ""
