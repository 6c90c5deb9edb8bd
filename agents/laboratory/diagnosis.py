"""A run's own diagnosis as untrusted data: plain numbers of bounded size under plain names, or nothing.

The code under test wrote it. What comes of it may inform an explanation and a figure; no verdict reads it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, TypeVar

from agents.records import Diagnosis

MOST_POINTS, MOST_NAMES = 64, 160
LARGEST, DIGITS = 1e39, 4
NAME = re.compile(r"[a-z]{1,12}(-[a-z]{1,12})?( \d{1,4})?")
"""What a part of a model or a phase may be called: too little to hold a sentence that a researcher would read."""

Item = TypeVar("Item")


class _Unusable(Exception):
    """Why a diagnosis is ignored, in words that quote nothing of it."""


def read_diagnosis(document: Any, dotted: str) -> Diagnosis:
    """Return the block at this field of a metrics file; one that is not as it should be is ignored, with the reason."""
    try:
        return _read(reduce(_field, dotted.split("."), document))
    except _Unusable as error:
        return Diagnosis(ignored=str(error))


def _read(block: Any) -> Diagnosis:
    steps = _numbers(_field(block, "steps"), "steps")
    if steps != sorted(set(steps)) or not all(isinstance(step, int) for step in steps):
        raise _Unusable("its steps are no whole numbers that rise")

    def series(value: Any, where: str) -> tuple[float, ...]:
        numbers = _numbers(value, where)
        if len(numbers) != len(steps):
            raise _Unusable(f"{where} has not one number for each step")
        return tuple(map(_rounded, numbers))

    return Diagnosis(
        steps=tuple(map(int, steps)),
        multipliers=series(_field(block, "multipliers"), "multipliers"),
        gradient_norms=_named(block, "gradient_norms", series),
        update_norms=_named(block, "update_norms", series),
        phase_seconds=_named(block, "phase_seconds", lambda value, where: _rounded(_number(value, where))),
    )


def _field(block: Any, name: str) -> Any:
    if not isinstance(block, Mapping) or name not in block:
        raise _Unusable(f"it has no {name}")
    return block[name]


def _named(block: Any, where: str, read: Callable[[Any, str], Item]) -> dict[str, Item]:
    values = _field(block, where)
    if not isinstance(values, Mapping) or len(values) > MOST_NAMES:
        raise _Unusable(f"{where} is no table of at most {MOST_NAMES} names")
    if not all(NAME.fullmatch(name) for name in values):
        raise _Unusable(f"{where} has a name that is no word with a number")
    return {name: read(value, where) for name, value in values.items()}


def _numbers(values: Any, where: str) -> list[float]:
    if not isinstance(values, list) or len(values) > MOST_POINTS:
        raise _Unusable(f"{where} is no list of at most {MOST_POINTS} numbers")
    return [_number(value, where) for value in values]


def _number(value: Any, where: str) -> float:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if not plain or not 0 <= value <= LARGEST:  # which nan is not, either
        raise _Unusable(f"{where} holds what is no number from 0 to {LARGEST:.0e}")
    number: int | float = value
    return number


def _rounded(value: float) -> float:
    return round(float(value), DIGITS - 1 - math.floor(math.log10(value))) if value else 0.0
