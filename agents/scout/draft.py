"""The circle.toml of a repo that was looked at, with comments for whoever edits it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from agents.scout.declared import Setting
from agents.scout.found import Place
from agents.scout.survey import Survey, dimension

_FACTOR = 50
QUICK_SECONDS = 30.0


@dataclass(frozen=True)
class Reports:
    """Where a run reports, as a real one did: the metric, its weights, its steps, and settings that differ by run."""

    metric: Place | None = None
    weights: str = ""
    progress: str = ""
    volatile: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lengths:
    """The length of a whole run and of a short one, in the target's unit, and the seconds that one of them took."""

    whole: int
    short: int
    timed: int = 1
    seconds: float = 1.0

    @property
    def whole_seconds(self) -> float:
        """What a whole run takes, at most: of a short one that was timed, its start counts as often as its steps."""
        return max(0.1, round(self.seconds * self.whole / self.timed, 1))

    @property
    def tried(self) -> int:
        """The length of the runs that check the draft: whole ones where they are quick."""
        return self.whole if self.whole_seconds <= QUICK_SECONDS else self.short


def lengths_of(survey: Survey, short: int | None = None) -> Lengths:
    """Return a first guess: the script's own default, and a fiftieth of it."""
    default = survey.length.default if survey.length else None
    whole = max(1, int(default)) if isinstance(default, int | float) and math.isfinite(default) else 100
    return Lengths(whole, short or max(1, whole // _FACTOR))


def draft(name: str, survey: Survey, reports: Reports, lengths: Lengths) -> str:
    """Return the text of the circle.toml."""
    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=folder,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701
    )
    environment.filters |= {"toml": _toml, "key": _key, "like": lambda value, other: type(other)(value)}
    file, dataclass = survey.declared_in
    spaces = {setting.name: space for setting in survey.hyperparameters if (space := dimension(setting))}
    return environment.get_template("circle.toml.j2").render(
        name=name,
        survey=survey,
        command=_command(survey),
        switch=_switch(survey),
        settings=_settings(survey),
        flags={"file": file, "dataclass": dataclass},
        reports=reports,
        lengths=lengths,
        spaces=spaces,
    )


def _command(survey: Survey) -> list[str]:
    """The train command: the script, and what its command line takes of seed, length and output."""
    words = ["{python}", "-m", survey.module] if survey.module else ["{python}", survey.script]
    words = ["env", f"PYTHONPATH={survey.path}", *words] if survey.path else words
    for setting, value in _told(survey).items():
        words += [f"--{setting.name}", value] if setting.style == "arguments" else []
    return [*words, *survey.words]


def _settings(survey: Survey) -> dict[str, str]:
    return {setting.name: value for setting, value in _told(survey).items() if setting.style != "arguments"}


def _told(survey: Survey) -> Mapping[Setting, str]:
    roles = ((survey.seed, "{seed}"), (survey.length, "{length}"), (survey.output, "{output}"))
    return {setting: value for setting, value in roles if setting}


def _switch(survey: Survey) -> list[str]:
    """What a bare word says, where the command line has switches that take no value."""
    return ["--{name}", ""] if any(setting.bare for setting in survey.hyperparameters) else []


def _toml(value: object) -> str:
    """A value as TOML writes it: as JSON does, but that a literal string spares its backslashes."""
    if isinstance(value, str) and "\\" in value and "'" not in value:
        return f"'{value}'"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    """A name as TOML takes it: quoted where it is not plain."""
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)
