"""What a run is told: words on its command line, variables, or its own copy of the file that declares its flags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agents.declarations import rewritten
from agents.ports import Order
from agents.records import FlagValue
from agents.settings import IN_A_FILE, Target, flag_value


@dataclass(frozen=True)
class Places:
    """Where a run finds its interpreter and its data, and the folder that it writes."""

    python: str
    data: Path
    output: Path


@dataclass(frozen=True)
class Instructions:
    """How runs of a target are told what to train, at a preset."""

    target: Target
    preset: str

    @property
    def in_a_file(self) -> bool:
        """Whether each run has its own copy of the file that declares its flags."""
        return self.target.flags.style in IN_A_FILE

    def command(self, order: Order, places: Places) -> list[str]:
        """Return the command of a run, without a sandbox."""
        train, values = self.target.train, self._values(order, places)
        command = [part.format_map(values) for part in train.command]
        if self.target.flags.style == "arguments":
            command += [word for name, value in order.flags for word in self._words(name, value)]
        return [*command, *(train.timing if order.stage == "timing" else ())]

    def variables(self, order: Order, places: Places) -> dict[str, str]:
        """Return what a run's environment says of it."""
        told = {"CIRCLE_COMMIT": order.commit}
        if self.target.flags.style == "environment":
            told |= {name: flag_text(value) for name, value in self._settings(order, places).items()}
        return told

    def declarations(self, text: str, order: Order, places: Places) -> str:
        """Return a run's own copy of the file that declares its flags; raise TargetError if one is not declared."""
        return rewritten(text, self.target.flags, self._settings(order, places))

    def _words(self, name: str, value: FlagValue) -> list[str]:
        train = self.target.train
        if isinstance(value, bool) and train.switch:
            word = train.switch[not value]
            return [word.format_map({"name": name})] if word else []
        return [part.format_map({"name": name, "value": flag_text(value)}) for part in train.flag]

    def _settings(self, order: Order, places: Places) -> dict[str, FlagValue]:
        """What every run is told but on its command line, and this one's flags."""
        values = self._values(order, places)
        always = {name: flag_value(text.format_map(values)) for name, text in self.target.train.settings.items()}
        return always | dict(order.flags)

    def _values(self, order: Order, places: Places) -> dict[str, str]:
        return {
            "python": places.python,
            "preset": self.preset,
            "train_tokens": str(order.train_tokens),
            "length": str(order.train_tokens),
            "seed": str(order.seed),
            "data": str(places.data),
            "output": str(places.output),
        }


def flag_text(value: object) -> str:
    """Return a flag's value as the command line takes it: true and false in small letters."""
    return str(value).lower() if isinstance(value, bool) else str(value)
