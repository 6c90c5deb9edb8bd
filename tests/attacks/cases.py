"""The patches that are put through the gates: cheats, honest ones, and those of the catalogue.

A case is NAME.diff in cheats/ or honest/, with its flags and its words in the folder's .toml file.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from agents.records import Flag, FlagValue, Plan, Record
from agents.researchers.catalogue import IDEAS, Catalogue

ATTACKS = Path(__file__).parent


class Case(Record):
    """A patch and what it claims. `breaks` is the principle that a cheat breaks, empty for an honest patch.

    `pairs` are the seeds that its gain is measured on; `tuned_on` is a seed that its author knew, on which the naive
    gain is measured instead.
    """

    name: str
    flags: tuple[Flag, ...]
    pretends: str
    breaks: str = ""
    pairs: int = 1
    tuned_on: int | None = None
    diff: str = ""

    @property
    def plan(self) -> Plan:
        """The plan that would come with the patch."""
        return Plan(title=self.pretends, hypothesis=self.pretends, method="", flags=self.flags, criteria="")

    @property
    def values(self) -> tuple[tuple[str, FlagValue], ...]:
        """The flags of the experiment's arm."""
        return tuple((flag.name, flag.value) for flag in self.flags)


def read_cases(folder: str) -> list[Case]:
    """Return the cases of a folder beside this file, in the order of its table."""
    place = ATTACKS / folder
    table = tomllib.loads((place / f"{folder}.toml").read_text(encoding="utf-8"))
    return [
        Case.model_validate({"name": name, "diff": (place / f"{name}.diff").read_text(encoding="utf-8"), **about})
        for name, about in table.items()
    ]


def catalogue_cases() -> list[Case]:
    """Return the catalogue's diffs, which are honest patches, too: each once, with the flags of its first variant."""
    cases: dict[tuple[str, str], Case] = {}
    for entry in Catalogue().entries:
        for variant in (variant for variant in entry.variants if variant.diff):
            name, diff = f"{entry.name}/{variant.name}", (IDEAS / entry.name / variant.diff).read_text(encoding="utf-8")
            case = Case(name=name, flags=variant.flags, pretends=variant.title, diff=diff)
            cases.setdefault((entry.name, variant.diff), case)
    return list(cases.values())
