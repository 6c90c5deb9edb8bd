"""The research loops that are compared: each takes the same ideas in the same order until its runs are spent."""

from __future__ import annotations

from benchmarks.bank.circle import campaign, circle, without_revision, without_screen
from benchmarks.bank.player import Loop
from benchmarks.bank.rivals import (
    keep_if_lower,
    keep_if_lower_by_the_clock,
    keep_if_lower_twice,
    oracle,
    two_sigma,
)

LOOPS: dict[str, Loop] = {
    "keep if lower": keep_if_lower,
    "keep if lower twice (the fair rival)": keep_if_lower_twice,
    "the fair rival, by the clock": keep_if_lower_by_the_clock,
    "2 sigma below the floor": two_sigma,
    "Circle without screening": without_screen,
    "Circle without revision": without_revision,
    "Circle": circle,
    "Circle's campaign": campaign,
    "an oracle": oracle,
}
