"""A run outlives its session: the next process waits for it, and takes what was seen of it as its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agents.errors import Interrupted
from agents.laboratory.watcher import Job, Watchers, forget
from agents.limits import Limits
from tests.commands import ROOT

TRAIN = """
import os, pathlib, sys, time
starts = pathlib.Path({starts!r})
with starts.open("a") as file: file.write("started\\n")
for step in range(1, 41):
    print(f"step {{step}}/40 loss {{1 / step}}", flush=True)
    while step == 20 and not pathlib.Path({go!r}).exists(): time.sleep(0.01)
pathlib.Path({output!r}, "weights").write_text("w" * 40)
"""
SESSION = """
import pathlib, sys
sys.path.insert(0, {root!r})
from agents.laboratory.watcher import Job, Watchers
from agents.limits import Limits
job = Job(**{job!r} | {{"cwd": pathlib.Path({cwd!r}), "output": pathlib.Path({output!r}), "limits": Limits()}})
Watchers().watch(job, lambda step, steps, loss: print(step, flush=True))
"""


def job_in(folder: Path) -> Job:
    """Return a run that waits at its half for the file `go`, and counts its starts."""
    output = folder / "run"
    places = {"starts": str(folder / "starts"), "go": str(folder / "go"), "output": str(output)}
    return Job(
        command=(sys.executable, "-c", TRAIN.format(**places)),
        cwd=folder,
        output=output,
        attempt=1,
        timeout_seconds=60.0,
        progress=r"step (?P<step>\d+)/(?P<steps>\d+) loss (?P<loss>\S+)",
        limits=Limits(),
    )


@contextmanager
def killed_session(job: Job) -> Iterator[None]:
    """Start a run in a process of its own, and kill that once the run is at its half."""
    plain = {name: getattr(job, name) for name in ("command", "attempt", "timeout_seconds", "progress")}
    code = SESSION.format(root=str(ROOT), job=plain, cwd=str(job.cwd), output=str(job.output))
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout is not None
        next(line for line in session.stdout if line.strip() == "1")
        session.send_signal(signal.SIGKILL)
        session.wait()
        yield


def starts(job: Job) -> int:
    return len((job.cwd / "starts").read_text().split())


def test_a_run_that_is_still_alive_is_adopted(tmp_path: Path) -> None:
    """Its steps of before count, too; nothing is started twice."""
    job, heard = job_in(tmp_path), list[int]()
    with killed_session(job):
        threading.Timer(0.2, (tmp_path / "go").touch).start()
        seen = Watchers().watch(job, lambda step, steps, loss: heard.append(step))
    assert seen.ended.steps == tuple(range(1, 41)) and seen.ended.returncode == 0 and seen.cwd == tmp_path
    assert starts(job) == 1 and heard == []
    assert Watchers().watch(job, lambda step, steps, loss: None) == seen, "what has ended is not started again"
    assert starts(job) == 1
    forget(job.output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["go", "run", "run.log", "starts"]


@pytest.mark.parametrize("damage", ["changed", "gone", "unsealed"])
def test_what_a_run_left_is_not_believed_if_it_changed(tmp_path: Path, damage: str) -> None:
    """It is trained again: the same seed gives the same."""
    job = job_in(tmp_path)
    (tmp_path / "go").touch()
    first = Watchers().watch(job, lambda step, steps, loss: None)
    if damage == "unsealed":
        job.record.write_text(job.record.read_text().replace('"returncode": 0', '"returncode": 1'))
    elif damage == "changed":
        (job.output / "weights").write_text("v" * 40)
    else:
        (job.output / "weights").unlink()
    again = Watchers().watch(job, lambda step, steps, loss: None)
    assert starts(job) == 2 and again.ended.losses == first.ended.losses
    assert (job.output / "weights").read_text() == "w" * 40


def test_an_adopted_run_is_ended_with_its_session(tmp_path: Path) -> None:
    """Ctrl-C in the session that waits for it ends it, as it would have in the one that started it."""
    job, watchers = job_in(tmp_path), Watchers()
    with killed_session(job):
        threading.Timer(0.2, watchers.end_all).start()
        with pytest.raises(Interrupted):
            watchers.watch(job, lambda step, steps, loss: None)
    (tmp_path / "go").touch()
    assert not job.record.exists() and starts(job) == 1


def test_nothing_is_started_once_all_has_ended(tmp_path: Path) -> None:
    """A second thread of the session may have been about to."""
    job, watchers = job_in(tmp_path), Watchers()
    watchers.end_all()
    with pytest.raises(Interrupted):
        watchers.watch(job, lambda step, steps, loss: None)
    assert not (tmp_path / "starts").exists() and not job.output.exists()


def test_a_watcher_that_is_killed_too_leaves_nothing_to_wait_for(tmp_path: Path) -> None:
    """Both are gone: the run is done again."""
    job = job_in(tmp_path)
    with killed_session(job):
        os.kill(int(job.lock.read_text()), signal.SIGKILL)
        (tmp_path / "go").touch()
        seen = Watchers().watch(job, lambda step, steps, loss: None)
    assert seen.ended.returncode == 0 and starts(job) == 2
