"""macOS's own sandbox, by `sandbox-exec` and a profile. It has never been run: no Mac was at hand.

Its profile's text is tested, and `choose` takes it only after the trial, as any backend. What it cannot do by design:
it gives a process no view of its own, so that other processes' names stay visible, and ends no daemon with its run.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.laboratory.sandbox.sandbox import Confinement, Sandbox, limited, pythons

_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/System", "/Library/Apple", "/Library/Developer/CommandLineTools"),
    *("/opt/homebrew", "/private/var/db/dyld", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"),
)


@dataclass(frozen=True)
class Seatbelt(Sandbox):
    """A profile that forbids all but what is named."""

    program: str
    name = "sandbox-exec"

    def confine(self, command: Sequence[str], to: Confinement) -> list[str]:
        scratch = {"TMPDIR": str(to.writable[0]), "HOME": str(to.writable[0])} if to.writable else {}
        variables = (f"{name}={value}" for name, value in {**to.variables, **scratch}.items())
        start = ["/usr/bin/env", "-i", *variables, "/bin/sh", "-c", 'cd "$0" && exec "$@"', str(to.cwd)]
        return limited([self.program, "-p", profile(to), *start, *command], to.limits)


def installed() -> Iterator[Seatbelt]:
    """The sandbox, where macOS has it."""
    if program := shutil.which("sandbox-exec"):
        yield Seatbelt(program)


def profile(to: Confinement) -> str:
    """Return the profile: later rules go before earlier ones, so that what is concealed comes last."""
    readable = [*map(Path, _SYSTEM), *pythons(), *(path.resolve() for path in pythons()), *to.readable, *to.writable]
    rules = [
        "(version 1)",
        "(deny default)",
        "(allow process-fork)",
        "(allow process-exec)",
        "(allow signal (target same-sandbox))",
        "(allow sysctl-read)",
        "(allow file-read-metadata)",
        '(allow file-read-data (literal "/"))',
        f"(allow file-read* {_below(readable)})",
        f"(allow file-write* {_below([Path('/dev/null'), *to.writable])})",
        "(deny network*)",
    ]
    if to.concealed:
        rules.append(f"(deny file-read* file-write* {_below(to.concealed)})")
    return "\n".join(rules)


def _below(paths: Iterable[Path]) -> str:
    return " ".join(f"(subpath {_quoted(path)})" for path in dict.fromkeys(paths))


def _quoted(path: Path) -> str:
    """A path as a string of the profile's language, in which it can end nothing and begin nothing."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
