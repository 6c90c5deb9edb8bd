"""Tells a person who looks elsewhere: an approval waits, a victory, the end.

A command of the person's is run without a shell, with CIRCLE_EVENT (approval, victory, end), CIRCLE_MESSAGE and
CIRCLE_ID in its environment. Without one, a terminal gets its bell and the desktop a note. It is never taken from a
target's circle.toml: what a repository says must not run outside the sandbox.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

from agents.errors import UsageError
from agents.plain_text import plain

Event = Literal["approval", "victory", "end"]
_SECONDS = 10


@dataclass(frozen=True)
class Notifier:
    """Tells of events by the words of a command, or by the desktop's own means."""

    command: tuple[str, ...] = ()

    def __call__(self, event: Event, message: str, name: str) -> None:
        """Tell of an event; whatever goes wrong is a warning at most, and takes 10 seconds at most."""
        said = plain(message)
        if self.command:
            _run(self.command, {"CIRCLE_EVENT": event, "CIRCLE_MESSAGE": said, "CIRCLE_ID": name})
        elif sys.stderr.isatty():
            print("\a", end="", file=sys.stderr, flush=True)
            if note := _desktop(said):
                _run(note, {})


def notifier(words: str | None) -> Notifier:
    """Return a notifier for a command line; raise UsageError if its program cannot be found."""
    try:
        command = tuple(shlex.split(words or ""))
    except ValueError as error:
        raise UsageError(f"--notify {words!r} cannot be split into words: {error}.") from error
    if command and shutil.which(command[0]) is None:
        raise UsageError(f"--notify: there is no program {command[0]!r} on the PATH.")
    return Notifier(command)


def _desktop(message: str) -> tuple[str, ...]:
    """The words of the desktop's own note, if it has one."""
    if shutil.which("notify-send"):
        return ("notify-send", "--app-name=circle", "--", "Circle", message)
    if shutil.which("osascript"):
        script = 'on run words\ndisplay notification (item 1 of words) with title "Circle"\nend run'
        return ("osascript", "-e", script, message)
    return ()


def _run(command: tuple[str, ...], about: dict[str, str]) -> None:
    try:
        started = subprocess.Popen(
            command,
            env=os.environ | about,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        _warn(command, f"could not be started: {error.strerror}")
        return
    with started:
        try:
            code = started.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            _warn(command, f"took longer than {_SECONDS} s and was ended")
            return
    if code and about:
        _warn(command, f"ended with exit code {code}")


def _warn(command: tuple[str, ...], what: str) -> None:
    print(f"warning: the notification {shlex.join(command)} {what}.", file=sys.stderr)
