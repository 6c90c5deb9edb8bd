"""What no honest pair of runs shows. Such a run is refused, and a person must look before it can count."""

from __future__ import annotations

from collections.abc import Sequence

from agents.records import Run

SIGMAS = 20.0
SHARE = 0.10
"""A gain beyond both is held: in standard deviations of one run, and as a share of the baseline's loss.

The best change to a tuned recipe that we know of gave 9 sigma and 2 %. Twenty sigma alone would hold honest gains
where runs hardly differ, and a tenth alone those of runs that differ a lot. A look at the next token, or a table of
the answers, takes away whole nats of a few; what is smaller than this is for the evaluation's checks to find.
"""


def implausible(baseline: float, experiment: float, sigma: float) -> str | None:
    """Say why a language model's loss is too good to be believed beside its pair's, or None."""
    gain = baseline - experiment
    if gain <= max(SIGMAS * sigma, SHARE * abs(baseline)):
        return None
    return (
        f"implausible, a person must look: {experiment:.4f} against {baseline:.4f} is a gain of {gain / sigma:.0f} "
        f"sigma and {gain / abs(baseline):.0%} of the loss"
    )


def copied(run: Run, others: Sequence[Run]) -> str | None:
    """Say which other run's weights a run left, byte for byte, or None: training of its own gives others."""
    twin = next((one for one in others if one.key != run.key and one.weights_sha256 == run.weights_sha256), None)
    if twin is None or run.weights_sha256 is None:
        return None
    return f"its weights are, byte for byte, those of the {twin.arm}'s run with seed {twin.seed}"
