"""A person who looks elsewhere is told: by a command of theirs, or by bell and desktop."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agents import notify
from agents.errors import TargetError, UsageError
from agents.notify import Notifier, notifier
from agents.settings import parse_target
from tests.commands import analysis, change, circle, plan, review, session_id

WRITE = "import json, os, sys; json.dump([sys.argv[2:], dict(os.environ)], open(sys.argv[1], 'w'))"


def told(file: Path) -> tuple[list[str], dict[str, str]]:
    words, environment = json.loads(file.read_text())
    return words, environment


def test_a_session_tells_of_approval_and_end(plain: Path, script: Callable[..., str], tmp_path: Path) -> None:
    """The command is run without a shell, with the event in its environment."""
    note = tmp_path / "note"
    (tmp_path / "tell.py").write_text(WRITE)
    command = f"{sys.executable} {tmp_path / 'tell.py'} {note} $HOME; 'two words'"
    replies = [plan("Lower", ("rate", 0.01, 0.003)), change(), review(), analysis()]
    started = circle(plain, "start", "--researcher", script(*replies), "--notify", command, "Rate")
    words, environment = told(note)
    assert started.returncode == 4 and words == ["$HOME;", "two words"]
    assert environment["CIRCLE_EVENT"] == "approval" and environment["CIRCLE_ID"] == session_id(started.stderr)
    assert environment["CIRCLE_MESSAGE"] == "Rate: awaiting approval"
    judged = circle(plain, "judge", "--flags", "--rate 0.003", CIRCLE_NOTIFY=command)
    assert judged.returncode == 3 and told(note)[1]["CIRCLE_EVENT"] == "end"


def test_a_command_that_fails_is_a_warning(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it does, the session goes on; one that never ends is ended."""
    Notifier((sys.executable, "-c", "raise SystemExit(3)"))("end", "Over.", "s")
    assert "exit code 3" in capsys.readouterr().err
    Notifier(("/no/such/program",))("end", "Over.", "s")
    assert "could not be started" in capsys.readouterr().err
    monkeypatch.setattr(notify, "_SECONDS", 0.3)
    Notifier((sys.executable, "-c", "import threading; threading.Event().wait()"))("end", "Over.", "s")
    assert "took longer" in capsys.readouterr().err
    for words in ("no-such-program-anywhere", "echo 'open"):
        with pytest.raises(UsageError, match="--notify"):
            notifier(words)


def test_a_terminal_has_its_bell_and_the_desktop_a_note(tmp_path: Path) -> None:
    """Without a command; and neither where nobody sits at a terminal."""
    desktop = tmp_path / "notify-send"
    desktop.write_text(f"#!{sys.executable}\n{WRITE.replace('sys.argv[1]', repr(str(tmp_path / 'note')))}\n")
    desktop.chmod(0o700)
    tell = [sys.executable, "-c", "from agents.notify import notifier; notifier(None)('victory', 'Won\\x1b[2J', 's')"]
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    quiet = subprocess.run(tell, env=environment, capture_output=True, check=True)
    assert quiet.stderr == b"" and not (tmp_path / "note").exists()
    ours, theirs = pty.openpty()
    subprocess.run(tell, env=environment, stderr=theirs, check=True)
    assert os.read(ours, 100) == b"\a"
    words, _ = told(tmp_path / "note")
    assert words[-2] == "Circle" and "Won" in words[-1] and "\x1b" not in words[-1]


def test_no_target_names_a_command(plain: Path) -> None:
    """What a repository says must not run outside the sandbox."""
    text = (plain / "circle.toml").read_text() + '\n[start]\nnotify = "touch /tmp/x"\n'
    with pytest.raises(TargetError, match="notify"):
        parse_target(text, "circle.toml")
