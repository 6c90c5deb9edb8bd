"""What no honest run shows beside others: it is refused, or a person is warned, before it can count."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from agents.records import Run

LEAST_WORK = 0.2
SIGMAS = 20.0
SHARE = 0.10
"""A gain beyond both is held: in standard deviations of one run, and as a share of the baseline's loss.

The README's session has a gain of 7 sigma and 2 % (Canon layers). Twenty sigma alone would hold honest gains
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


def copied(run: Run, others: Iterable[Run]) -> str | None:
    """Say which run of another seed or length left the very same weights as an experiment, or None.

    Training of its own gives others. Equal weights at the same seed and length are the rule for a flag that does
    nothing, and gain nothing.
    """
    if run.weights_sha256 is None:
        return None
    twins = (other for other in others if other.weights_sha256 == run.weights_sha256)
    twin = next((one for one in twins if (one.seed, one.train_tokens) != (run.seed, run.train_tokens)), None)
    if twin is None:
        return None
    return f"its weights are, byte for byte, those of the {twin.arm}'s {twin.stage} run with seed {twin.seed}"


def other_tokens(before: Run, after: Run) -> str | None:
    """Say that the runs of a pair had other numbers of tokens to train on, or to be scored on, or None.

    Both numbers are the trusted side's own; where it has none there is nothing to compare.
    """
    for what, old, new in (
        ("trained on", before.tokens_served, after.tokens_served),
        ("was scored on", before.tokens_scored, after.tokens_scored),
    ):
        if old is not None and new is not None and old != new:
            return f"it {what} {new:,} tokens and its pair's baseline on {old:,}"
    return None


def too_little_work(run: Run, others: Iterable[Run]) -> str | None:
    """Say that a run claims the baseline's steps for a fraction of its work, in CPU and in wall seconds, or None.

    A warning in the paper and no more: a method can honestly be three times as fast, and with a smaller model more. A
    run that skips training cannot win by that, for it is the trusted evaluation of its weights that counts.
    """
    alike = [other for other in others if other.arm == "baseline" and other.status == "done" and _alike(other, run)]
    alike = [other for other in alike if other.cpu_seconds is not None]
    if not alike or run.status != "done" or run.cpu_seconds is None:
        return None
    usual = median(other.cpu_seconds for other in alike if other.cpu_seconds is not None)
    wall = median(other.train_seconds for other in alike)
    if run.cpu_seconds >= LEAST_WORK * usual or run.train_seconds >= LEAST_WORK * wall:
        return None
    return (
        f"the run with seed {run.seed} took {run.cpu_seconds:.1f} CPU seconds for what takes the baseline {usual:.1f}"
    )


def _alike(other: Run, run: Run) -> bool:
    timed = (other.stage == "timing") == (run.stage == "timing")
    return timed and other.train_tokens == run.train_tokens and other.steps <= run.steps
