"""Starts `circle` commands in processes of their own: a session that the page began outlives the page."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from agents.errors import CircleError
from agents.plain_text import plain
from agents.session import Home, Opened

_LOOK_SECONDS, _PATIENCE_SECONDS = 0.05, 60.0
_SESSION = re.compile(r"^session (\S+)$", re.MULTILINE)
_BOX, _COLUMNS = "│╭╮╰╯─ ", "1000"
LOG = "page.log"
"""Where a session's folder keeps what a command said that the page started."""


def resume(opened: Opened) -> None:
    """Let a process of its own go on with a session."""
    _launch(opened.home, ["resume", opened.session.id], opened.folder / LOG)


def begin(home: Home, command: Sequence[str]) -> str:
    """Start a command that announces a session; return its id, or raise CircleError in its words if there is none."""
    home.prepare()
    log = home.folder / f"page-{secrets.token_hex(4)}.log"
    process, ends = _launch(home, command, log), time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < ends:
        ended = process.poll() is not None
        said = log.read_text(encoding="utf-8", errors="replace")
        if found := _SESSION.search(said):
            log.replace(home.folder / "sessions" / found[1] / LOG)
            return found[1]
        if ended:
            log.unlink()
            raise CircleError(last_words(said) or "circle ended without a word.")
        time.sleep(_LOOK_SECONDS)
    raise CircleError(f"circle has announced no session for {_PATIENCE_SECONDS:g} seconds; it writes to {log}.")


def last_words(said: str) -> str:
    """Return the last line that a command has written, out of the box that a wrong usage is told in."""
    lines = [line.strip(_BOX) for line in said.splitlines()]
    return plain(next((line for line in reversed(lines) if line), ""))


def _launch(home: Home, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    name, *options = command
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "agents.cli", name, "--target", str(home.target), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"COLUMNS": _COLUMNS},
        )
    threading.Thread(target=process.wait, daemon=True, name=f"waits for {process.pid}").start()
    return process
