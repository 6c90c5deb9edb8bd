"""The person's own editor and pager; an interruption while they run is theirs."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.errors import UsageError


def edited_text(text: bytes) -> bytes:
    """Return what a person makes of a text in $VISUAL, $EDITOR or vi; raise UsageError if it cannot be had."""
    words = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="circle-") as folder:
        file = Path(folder) / "version.diff"
        file.write_bytes(text)
        with _named("The editor", words, "VISUAL or EDITOR"):
            code = subprocess.run([*shlex.split(words), str(file)], check=False).returncode
        if code:
            raise UsageError(f"The editor {words!r} ended with exit code {code}, and its text is not taken.")
        if not file.is_file():
            raise UsageError(f"The editor {words!r} left no text.")
        return file.read_bytes()


def paged(text: str) -> None:
    """Show a text in $PAGER or less; raise UsageError unless the pager took all of it."""
    words = os.environ.get("PAGER") or "less -R"
    try:
        with _named("The pager", words, "PAGER"), subprocess.Popen(shlex.split(words), stdin=subprocess.PIPE) as pager:
            assert pager.stdin is not None
            pager.stdin.write(text.encode(errors="backslashreplace"))
            pager.stdin.close()
    except BrokenPipeError:
        raise UsageError("The pager was left before the end: not all of it was shown.") from None
    if pager.returncode:
        raise UsageError(f"The pager {words!r} ended with exit code {pager.returncode}.")


@contextmanager
def _named(what: str, words: str, variable: str) -> Iterator[None]:
    """Say which program cannot be used, and leave interruptions to it."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError, IndexError) as error:
        raise UsageError(f"{what} {words!r} cannot be used: {error}. {variable} names another.") from None
    finally:
        signal.signal(signal.SIGINT, before)
