"""The arms of the truth bank: the base, every variant of every idea, and what only looks like an idea."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agents.records import FlagValue
from agents.researchers.catalogue import IDEAS, Catalogue
from tests.attacks.cases import read_cases
from trainer.config import PRESETS

Kind = Literal["base", "idea", "null", "cheat"]
OTHER = 1_000_000
"""Added to a seed it gives another one that no other run of the bank has."""
STRETCH = 1.25
CHEATS = (
    "look_ahead_rarely",
    "token_shift_wrong_way",
    "skipped_batches",
    "easier_tokens",
    "double_batch",
    "seed_edit",
)
"""Two each that the evaluator, the regression and the review stop."""
DEAD_FLAG = Path(__file__).with_name("dead_flag.diff")


@dataclass(frozen=True)
class Arm:
    """What is trained at every seed: a diff on the base, flags, another seed, or `stretch` times the tokens."""

    name: str
    kind: Kind
    diff: str = ""
    flags: tuple[tuple[str, FlagValue], ...] = ()
    seed: int = 0
    stretch: float = 1.0


def arms(preset: str) -> Iterator[Arm]:
    """The base first, then the null arms, the catalogue and the cheats."""
    rate = PRESETS[preset].muon_lr
    yield Arm("base", "base")
    yield Arm("twin", "null", flags=(("muon_lr", rate * (1 + 1e-6)),))  # a change as small as rounding
    yield Arm("other seeds", "null", seed=OTHER)
    yield Arm("dead flag", "null", DEAD_FLAG.read_text(encoding="utf-8"), (("fast_path", True),))
    yield Arm("stretched", "base", stretch=STRETCH)
    for entry in Catalogue().entries:
        for variant in entry.variants:
            diff = (IDEAS / entry.name / variant.diff).read_text(encoding="utf-8") if variant.diff else ""
            flags = tuple((flag.name, flag.value) for flag in variant.flags)
            yield Arm(f"{entry.name}/{variant.name}", "idea", diff, flags)
    for case in read_cases("cheats"):
        if case.name in CHEATS:
            yield Arm(case.name, "cheat", case.diff, case.values)
