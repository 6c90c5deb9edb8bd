"""Starts a command under sandlock, and ends all of it: `landlock_launcher.py POLICY COMMAND...`. Run, never imported.

Two processes, since either may be killed: the one that was started only waits, and its death tells the supervisor
below it, which adopts every daemon of the command and kills all that is left when the command ends or the death comes.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_CAPABILITIES = 64
_CAPABILITY_VERSION = 0x20080522
_FAILED = 125


def main(policy: dict[str, Any], command: list[str]) -> int:
    """Run the command and return its exit code, 128 and the signal's number if a signal ended it."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    waiting = os.getpid()
    supervisor = os.fork()
    if supervisor:
        return os.waitstatus_to_exitcode(os.waitpid(supervisor, 0)[1])
    os.setsid()
    signal.signal(signal.SIGTERM, _leave)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != waiting:
        return _FAILED
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _drop_capabilities()
    return _supervise(policy, command)


def _supervise(policy: dict[str, Any], command: list[str]) -> int:
    sys.path.append(policy.pop("packages"))
    scratch = policy.pop("scratch")
    from sandlock import Sandbox, SandlockError

    if scratch:
        Path(scratch).mkdir(exist_ok=True)
    code: list[int] = []
    ended = threading.Event()

    def wait() -> None:
        result = process.wait()
        code.append(128 + result.signal if result.signal > 0 else result.exit_code)
        ended.set()

    try:
        process = Sandbox(clean_env=True, **policy).popen(command)
        # A signal is heard only by a main thread that is in Python: the library's wait is another's.
        threading.Thread(target=wait, daemon=True).start()
        ended.wait()
    except (SandlockError, RuntimeError, OSError) as error:
        print(f"sandlock: {error}", file=sys.stderr)
        return _FAILED
    finally:
        _kill_descendants()
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
    return code[0]


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _drop_capabilities() -> None:
    """Root without capabilities is a user who owns root's files, and those it can reach are Landlock's to say."""
    for capability in range(_CAPABILITIES):
        _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    if _LIBC.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "the capabilities cannot be dropped")


def _kill_descendants() -> None:
    """Kill until nothing is left: what a killed process started meanwhile is this one's child then."""
    while found := _descendants(os.getpid()):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for file in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                children = [int(child) for child in file.read_text().split()]
                found += children
                waiting += children
    return found


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]), sys.argv[2:]))
