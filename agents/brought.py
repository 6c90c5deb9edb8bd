"""A diff that a person wrote themselves, as a plan: no researcher, the same graph from the reviewer on."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agents.declarations import declared
from agents.errors import UsageError
from agents.records import Ablation, Flag, FlagValue, Plan
from agents.settings import FILE, Target, flag_value, parse_target

if TYPE_CHECKING:
    from agents.session import Home

_NAME = re.compile(r"^--?([A-Za-z_][\w.-]*)$")


def plan_of(
    home: Home, diff: str, flags: str, title: str, ablations: Sequence[str] = (), base: str | None = None
) -> Plan:
    """Return the plan of a person's own diff on HEAD, or on `base`; raise UsageError if a flag cannot be found.

    A flag's default is read from where the diff or the base commit declares it. An ablation is written as its flags.
    """
    base = base or home.workspace.head()
    text = home.workspace.read(base, FILE)
    if text is None:
        raise UsageError(f"{home.target / FILE} is not committed, so no flag's default can be found.")
    target = parse_target(text, FILE)
    file = home.workspace.read(base, target.flags.file) or "" if target.flags.file else ""
    added = "\n".join(line[1:] for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++"))

    def found(words: str) -> tuple[Flag, ...]:
        return tuple(_flag(name, value, target, added, file) for name, value in pairs(words))

    own = found(flags)
    if all(flag.value == flag.default for flag in own):
        raise UsageError(f"--flags {flags!r} are the defaults: nothing would change.")
    return Plan(
        title=title,
        hypothesis=f"With {flags}, {target.metric.name} is better than the baseline's.",
        method="A person's own diff.",
        flags=own,
        criteria="The session's rule of proof.",
        ablations=tuple(_ablation(words, found(words), own) for words in ablations),
    )


def _ablation(words: str, flags: tuple[Flag, ...], own: tuple[Flag, ...]) -> Ablation:
    if all(flag.value == flag.default for flag in flags):
        raise UsageError(f"--ablation {words!r} is the baseline itself, which explains nothing.")
    if {(flag.name, flag.value) for flag in flags} == {(flag.name, flag.value) for flag in own}:
        raise UsageError(f"--ablation {words!r} is the change itself: name something simpler.")
    return Ablation(name=words, flags=flags)


def pairs(flags: str) -> list[tuple[str, str]]:
    """Split "--name value --switch" into names and values; a flag without a value means true."""
    try:
        words, found = [part for word in shlex.split(flags) for part in word.split("=", 1)], []
    except ValueError as error:
        raise UsageError(f"--flags {flags!r} cannot be split into words: {error}.") from error
    while words:
        match = _NAME.match(words[0])
        if match is None:
            raise UsageError(f"--flags {flags!r}: {words[0]!r} is no flag; write them as --name value.")
        has_value = len(words) > 1 and not _NAME.match(words[1])
        found.append((match[1], words[1] if has_value else "true"))
        words = words[2 if has_value else 1 :]
    if not found or len(dict(found)) < len(found):
        raise UsageError(f"--flags {flags!r} names {'a flag twice' if found else 'no flag'}.")
    return found


def _flag(name: str, value: str, target: Target, added: str, file: str) -> Flag:
    if name in target.reserved:
        raise UsageError(f"--flags: {name} is the laboratory's to set, the same for both arms.")
    default = target.search[name].default if name in target.search else _default(name, target, added, file)
    if default is None:
        if target.flags.file:
            raise UsageError(f"--flags: {name} is declared neither in {target.flags.file} nor by the diff.")
        return Flag(name=name, default="", value=flag_value(value))
    flag = Flag(name=name, default=default, value=flag_value(value))
    if type(flag.value) is not type(flag.default) and not _widens(flag):
        raise UsageError(f"--flags: {name} is {flag.default!r} by default, and {value!r} is of another type.")
    return flag


def _default(name: str, target: Target, added: str, file: str) -> FlagValue | None:
    """The default of a flag in the lines that a diff adds, which need not be whole statements, or in the file."""
    if target.flags.style == "yaml":
        leaf = re.search(rf"^\s*{re.escape(name.rpartition('.')[2])}\s*:\s*([^\n#]+)", added, re.MULTILINE)
        return declared(file, target.flags).get(name, flag_value(leaf[1].strip()) if leaf else None)
    assigned = rf"^\s*{re.escape(name)}\s*(?::[^=\n]+)?=\s*(?:\w+\()?([^,\n)#]+)"
    found = re.search(assigned, f"{added}\n{file}", re.MULTILINE)
    return flag_value(found[1].strip()) if found else None


def _widens(flag: Flag) -> bool:
    """Whether a whole number is given where a fraction may be."""
    return type(flag.default) is float and type(flag.value) is int
