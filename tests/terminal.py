"""A person at a terminal: a command on a pseudo-terminal, what it shows, and what is typed."""

from __future__ import annotations

import codecs
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SECONDS = 120
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """The person's side: `shown` is all that was printed so far."""

    def __init__(self, ours: int, process: subprocess.Popen[bytes]) -> None:
        self.process, self.shown = process, ""
        self._ours, self._read = ours, 0
        self._decoded = codecs.getincrementaldecoder("utf-8")(errors="replace")  # a read may end within a character

    @property
    def words(self) -> str:
        """All that was printed so far, without its colours."""
        return _COLOURS.sub("", self.shown)

    def expect(self, words: str) -> None:
        """Read on until these words are printed."""
        while (found := self.shown.find(words, self._read)) < 0:
            assert self._more(), f"{words!r} was never printed:\n{self.shown}"
        self._read = found + len(words)

    def type(self, line: str) -> None:
        """Type a line, and Enter."""
        os.write(self._ours, f"{line}\n".encode())

    def leave(self) -> None:
        """Type the end of input."""
        os.write(self._ours, b"\x04")

    def end(self) -> int:
        """Read all that is still printed; return the exit code."""
        while self._more():
            pass
        return self.process.wait(_SECONDS)

    def _more(self) -> bool:
        ready, _, _ = select.select([self._ours], [], [], _SECONDS)
        assert ready, f"nothing more is printed:\n{self.shown}"
        try:
            piece = os.read(self._ours, 65536)
        except OSError:  # Linux says so when the other side is closed
            return False
        self.shown = (self.shown + self._decoded.decode(piece)).replace("\r\n", "\n")
        return bool(piece)


@contextmanager
def terminal(folder: Path, *arguments: str, **environment: str) -> Iterator[Terminal]:
    """Give the circle command on a terminal of its own; what it writes to standard error is in the file `errors`."""
    ours, theirs = pty.openpty()
    env = os.environ | {"COLUMNS": "200", "TERM": "xterm"} | environment
    command = [sys.executable, "-m", "agents.cli", *arguments]
    with (folder.parent / "errors").open("wb") as errors:
        process = subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=errors, env=env)
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
