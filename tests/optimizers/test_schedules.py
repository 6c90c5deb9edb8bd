"""The shapes of the learning-rate schedules."""

from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizers.schedules import Schedule, multiplier

SCHEDULES = get_args(Schedule)
ratios = st.floats(0.0, 1.0)


def curve(schedule: Schedule, steps: int = 100, **ratios: float) -> list[float]:
    return [multiplier(step, steps, schedule, **ratios) for step in range(steps)]


def test_constant_is_one_throughout() -> None:
    """Without a warm-up."""
    assert curve("constant", cooldown_ratio=0.5, final_ratio=0.1) == [1.0] * 100


def test_linear_falls_by_equal_amounts() -> None:
    """From 1 towards the final ratio, which the step after the last would reach."""
    values = curve("linear", final_ratio=0.5)
    assert values[0] == 1.0
    assert values[50] == pytest.approx(0.75)
    assert multiplier(100, 100, "linear", final_ratio=0.5) == pytest.approx(0.5)


def test_cosine_is_flat_at_both_ends_and_half_way_down_in_the_middle() -> None:
    """The steepest part is the middle."""
    values = curve("cosine", final_ratio=0.0)
    assert values[50] == pytest.approx(0.5)
    assert values[0] - values[1] < 0.001 < values[50] - values[51]


def test_wsd_is_stable_then_falls_linearly() -> None:
    """The cool-down takes the last part of the run and nothing before it."""
    values = curve("wsd", cooldown_ratio=0.4, final_ratio=0.0)
    assert values[:61] == [1.0] * 61
    assert values[80] == pytest.approx(0.5)
    assert values[99] == pytest.approx(1 / 40)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_warms_up(schedule: Schedule) -> None:
    """Linearly from above zero: the first update is never wasted."""
    values = curve(schedule, warmup_ratio=0.1, cooldown_ratio=0.5)
    assert values[0] == pytest.approx(1 / 11)
    assert values[4] == pytest.approx(5 / 11)
    assert values[10] == 1.0


@given(st.sampled_from(SCHEDULES), st.integers(1, 200), ratios, ratios, ratios)
def test_a_multiplier_lies_between_zero_and_one_and_never_rises_after_the_warmup(
    schedule: Schedule, steps: int, warmup: float, cooldown: float, final: float
) -> None:
    """For all settings, also where warm-up and cool-down overlap."""
    values = curve(schedule, steps, warmup_ratio=warmup, cooldown_ratio=cooldown, final_ratio=final)
    assert all(0.0 <= value <= 1.0 for value in values)
    after = values[round(warmup * steps) :]
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(after))
