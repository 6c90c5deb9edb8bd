"""One watched process: what the parent sees, however the child ends."""

from __future__ import annotations

import os
import re
import sys
import threading
from pathlib import Path

import pytest

from agents.errors import Interrupted
from agents.laboratory.process import Ended, Processes
from agents.limits import Limits

DEFAULTS = Limits()
PROGRESS = re.compile(r"step (?P<step>\d+)/(?P<steps>\d+) loss (?P<loss>\S+)")


def watch(
    folder: Path, code: str, seconds: float = 30.0, processes: Processes | None = None, limits: Limits = DEFAULTS
) -> Ended:
    """Watch a Python program to its end; it may write `written` in the folder."""
    (folder / "written").mkdir(exist_ok=True)
    return (processes or Processes()).watch(
        [sys.executable, "-u", "-c", code],
        cwd=folder,
        log=folder / "log.txt",
        timeout_seconds=seconds,
        environment=os.environ,
        progress=PROGRESS,
        limits=limits,
        folder=folder / "written",
    )


def test_steps_losses_and_the_last_words_are_seen(tmp_path: Path) -> None:
    code = (
        "x = bytearray(60_000_000)\nfor s in range(1, 41): print(f'step {s}/40 loss {5 / s}')\nraise SystemExit('bye')"
    )
    ended = watch(tmp_path, code)
    assert (ended.returncode, ended.timed_out, ended.diverged) == (1, False, False)
    assert ended.steps == tuple(range(1, 41)) and ended.losses[-1] == 5 / 40
    assert ended.tail == ("bye",) and "step 7/40" in (tmp_path / "log.txt").read_text()
    assert ended.seconds_per_step is None, "so quick a run's steps cannot be told apart from outside"
    assert ended.peak_memory_bytes is not None and 60_000_000 < ended.peak_memory_bytes < 120_000_000


def test_the_time_of_a_step_is_taken_from_outside(tmp_path: Path) -> None:
    code = "import time\nfor s in range(10, 20): time.sleep(0.03); print(f'step {s}/20 loss 1', flush=True)"
    ended = watch(tmp_path, code)
    assert ended.seconds_per_step is not None and 0.02 < ended.seconds_per_step < 0.3


def test_the_memory_of_a_process_in_a_process_is_seen(tmp_path: Path) -> None:
    """As in a sandbox, where the program is a grandchild of what was started."""
    inner = "x = bytearray(90_000_000); print('step 1/1 loss 1', flush=True)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    ended = watch(tmp_path, code)
    assert ended.peak_memory_bytes is not None and ended.peak_memory_bytes > 90_000_000


@pytest.mark.parametrize("way", ["subprocess.run", "subprocess.Popen"])
def test_the_work_of_a_process_in_a_process_is_seen(tmp_path: Path, way: str) -> None:
    """Of one that was waited for, and of one that still runs."""
    inner = "import time\nwhile time.process_time() < 0.5: pass\nprint('step 1/1 loss 1', flush=True)"
    after = "\nprint('step 1/1 loss 1')" if way == "subprocess.run" else "\nchild.wait()"
    ended = watch(tmp_path, f"import subprocess, sys\nchild = {way}([sys.executable, '-c', {inner!r}]){after}")
    assert ended.cpu_seconds is not None and 0.5 <= ended.cpu_seconds < 2


def test_a_log_that_cannot_be_written_ends_the_process(tmp_path: Path) -> None:
    """/dev/full is a full disk; the process is not left to itself."""
    (tmp_path / "log.txt").symlink_to("/dev/full")
    ended = watch(tmp_path, "import itertools\nfor number in itertools.count(): print('x' * 1000)")
    assert (ended.returncode, ended.unwritten) == (-9, "No space left on device")


def test_a_loss_that_is_no_number_is_divergence(tmp_path: Path) -> None:
    ended = watch(tmp_path, "print('step 1/2 loss 1.0'); print('step 2/2 loss nan')")
    assert ended.diverged and ended.seconds_per_step is None


def test_a_process_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    ended = watch(tmp_path, "import threading; threading.Event().wait()", seconds=0.5)
    assert ended.timed_out and ended.returncode < 0


def test_a_line_that_only_looks_like_progress_is_text(tmp_path: Path) -> None:
    ended = watch(tmp_path, "print('step 1/2 loss oops'); print('step ' + '1' * 5000 + '/2 loss 1')")
    assert ended.steps == () and len(ended.tail) == 2


def test_output_without_end_or_line_is_bounded(tmp_path: Path) -> None:
    ended = watch(tmp_path, "import sys; sys.stdout.write('x' * 300000); sys.stdout.buffer.write(b'\\xff\\n')")
    assert ended.returncode == 0 and len(ended.tail) <= 20


def test_ending_all_says_nothing_of_what_was_ended(tmp_path: Path) -> None:
    """A run that was killed with its session is no crash of the code under test."""
    processes = Processes()
    heard = threading.Event()
    timer = threading.Thread(target=lambda: (heard.wait(), processes.end_all()))
    timer.start()
    with pytest.raises(Interrupted):
        processes.watch(
            [sys.executable, "-u", "-c", "print('step 1/2 loss 1'); import threading; threading.Event().wait()"],
            cwd=tmp_path,
            log=tmp_path / "log.txt",
            timeout_seconds=30,
            environment=os.environ,
            progress=PROGRESS,
            hear=lambda step, steps, loss: heard.set(),
        )
    timer.join()
    with pytest.raises(Interrupted):
        watch(tmp_path, "print('never started')", processes=processes)


@pytest.mark.parametrize(
    ("limits", "code", "sentence"),
    [
        (Limits(memory_gb=0.1), "x = [b'x' * 10**8 for _ in range(3)]", "the run used more than 0.1 GB of memory"),
        (Limits(processes=3), "import os; os.fork(); os.fork()", "the run had more than 3 processes and threads"),
        (Limits(disk_gb=0.001), "open('written/a', 'wb').write(bytes(2_000_000))", "the run wrote more than 0.001 GB"),
        (Limits(files=3), "[open(f'written/{n}', 'w') for n in range(9)]", "the run made more than 3 files"),
        (Limits(log_mb=0.1), "print('x' * 200_000)", "the run printed more than 0.1 MB"),
    ],
    ids=["memory", "processes", "disk", "files", "log"],
)
def test_a_limit_ends_a_run_with_a_sentence(limits: Limits, code: str, sentence: str, tmp_path: Path) -> None:
    ended = watch(tmp_path, f"{code}\nimport threading; threading.Event().wait()", limits=limits)
    assert ended.exceeded is not None and ended.exceeded.startswith(sentence) and ended.exceeded.endswith("was ended")
    assert ended.returncode < 0 and not ended.timed_out and (tmp_path / "log.txt").stat().st_size <= 100_000


def test_a_disk_that_others_filled_is_no_limit_that_the_run_broke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended, and the machine is to blame."""
    monkeypatch.setattr("agents.laboratory.guard._LEAST_FREE_BYTES", 10**18)
    ended = watch(tmp_path, "import threading; threading.Event().wait()")
    assert ended.unwritten == "less than 1e+09 GB of the disk is free" and ended.returncode < 0


def test_memory_that_forks_share_counts_once(tmp_path: Path) -> None:
    """Four processes that see the same 100 MB hold 100 MB."""
    code = "import os, time\nx = b'x' * 10**8\nos.fork(); os.fork(); time.sleep(1)"
    assert watch(tmp_path, code, limits=Limits(memory_gb=0.25)).exceeded is None


def test_what_breaks_no_limit_is_left_alone(tmp_path: Path) -> None:
    ended = watch(tmp_path, "import time; open('written/a', 'w').write('1'); time.sleep(0.6); print('done')")
    assert (ended.returncode, ended.exceeded, ended.tail) == (0, None, ("done",))
    assert ended.peak_memory_bytes is not None


def test_numbers_that_cannot_be_reckoned_with_are_text(tmp_path: Path) -> None:
    ended = watch(tmp_path, "for s in ('1' + '0' * 400, '2' + '0' * 400): print(f'step {s}/2 loss 1')")
    assert ended.steps == () and ended.seconds_per_step is None


def test_a_flood_of_progress_is_heard_now_and_then(tmp_path: Path) -> None:
    heard: list[int] = []
    Processes().watch(
        [sys.executable, "-c", "for s in range(1, 20_001): print(f'step {s}/20000 loss 1')"],
        cwd=tmp_path,
        log=tmp_path / "log.txt",
        timeout_seconds=30,
        environment=os.environ,
        progress=PROGRESS,
        hear=lambda step, steps, loss: heard.append(step),
    )
    assert 1 <= len(heard) < 2000


def test_a_process_that_closes_its_output_is_still_watched(tmp_path: Path) -> None:
    code = "import os, threading; os.close(1); os.close(2); threading.Event().wait()"
    assert watch(tmp_path, code, seconds=1.0).timed_out


def test_a_fork_bomb_is_ended_and_leaves_nothing(tmp_path: Path) -> None:
    code = "import os, time\nfor _ in range(7):\n    os.fork()\ntime.sleep(60)"
    ended = watch(tmp_path, code, limits=Limits(processes=20))
    assert ended.exceeded == "the run had more than 20 processes and threads and was ended"
    assert not list(Path("/sys/fs/cgroup").glob(f"**/circle-{os.getpid()}-*"))
