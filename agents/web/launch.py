"""Starts `circle` commands in processes of their own: a session that the page began outlives the page."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agents.errors import CircleError, SessionError
from agents.plain_text import excerpt, plain
from agents.session import Home, Opened

_LOOK_SECONDS, _PATIENCE_SECONDS = 0.05, 60.0
_SESSION = re.compile(r"^session (\S+)$", re.MULTILINE)
_BOX, _COLUMNS = "│╭╮╰╯─ ", "1000"
_WRONG = (1, 2)
"""The exit codes of an error and of a wrong usage."""
_WORDLESS = "circle ended without a word: has the disk room? The same command on a terminal may say more."
LOG = "page.log"
"""Where a session's folder keeps what a command said that the page started."""


@dataclass
class Launcher:
    """The commands that one page has started; `stopping` says that the page is about to end.

    `failed` has the words of each session's command that ended with an error.
    """

    home: Home
    stopping: threading.Event = field(default_factory=threading.Event)
    failed: dict[str, str] = field(default_factory=dict)
    _one: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let one request at a time decide on sessions or drive them on."""
        with self._one:
            yield

    def resume(self, opened: Opened) -> None:
        """Let a process of its own go on with a session; return once it does, or raise CircleError in its words."""
        name = opened.session.id
        if opened.is_busy:
            raise SessionError(f"Session {name} is running.")
        log = opened.folder / LOG
        process = self._start(["resume", name], log)
        threading.Thread(target=self._watch, args=(name, process, log), daemon=True).start()
        self._await(process, opened)
        if process.returncode in _WRONG:
            raise CircleError(_last(log))

    def begin(self, command: Sequence[str]) -> str:
        """Start a command that announces a session; return its id, or raise CircleError in its words if it has none."""
        self.home.prepare()
        log = self.home.folder / f"page-{secrets.token_hex(4)}.log"
        process, ends = self._start(command, log), time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < ends and not self.stopping.is_set():
            ended = process.poll() is not None
            if found := _SESSION.search(log.read_text(encoding="utf-8", errors="replace")):
                kept = log.replace(self.home.folder / "sessions" / found[1] / LOG)
                threading.Thread(target=self._watch, args=(found[1], process, kept), daemon=True).start()
                self._await(process, self.home.find(found[1]))
                return found[1]
            if ended:
                told = excerpt("\n".join(_lines(log))) or _WORDLESS
                log.unlink()
                raise CircleError(told)
            time.sleep(_LOOK_SECONDS)
        raise CircleError(f"circle has announced no session in time; it writes to {log}.")

    def ask(self, command: Sequence[str]) -> str:
        """Return what a command prints that changes nothing; it ends with the page."""
        log = self.home.folder / f"page-{secrets.token_hex(4)}.log"
        process = self._start(command, log, error=subprocess.DEVNULL)
        while process.poll() is None:
            if self.stopping.wait(_LOOK_SECONDS):
                process.terminate()
        said = log.read_text(encoding="utf-8", errors="replace")
        log.unlink()
        return said

    def _await(self, process: subprocess.Popen[bytes], opened: Opened) -> None:
        """Return once the process drives the session, or has ended."""
        while process.poll() is None and not opened.is_busy and not self.stopping.is_set():
            time.sleep(_LOOK_SECONDS)

    def _start(self, command: Sequence[str], log: Path, error: int = subprocess.STDOUT) -> subprocess.Popen[bytes]:
        name, *options = command
        with log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "agents.cli", name, "--target", str(self.home.target), *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=error,
                start_new_session=True,
                env=os.environ | {"COLUMNS": _COLUMNS},
            )

    def _watch(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.failed.pop(name, None)
        if process.wait() in _WRONG:
            self.failed[name] = _last(log)


def _lines(log: Path) -> list[str]:
    """What a command has written, out of the box that a wrong usage is told in."""
    lines = [line.strip(_BOX) for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return [line for line in lines if line and line != "Error" and not line.startswith(("Usage: ", "Try '"))]


def _last(log: Path) -> str:
    """The sentence that a command ended with, after whatever progress it told of."""
    return plain(next(reversed(_lines(log)), _WORDLESS))
