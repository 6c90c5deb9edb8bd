"""The rules that are compared on a target's own noise."""

import time

import numpy as np
import pytest

from agents.false_wins import CIRCLE, FalseWins, Noise, circle, false_wins, rates, rivals, shape, smoothed, upper
from agents.statistics import ATTEMPTS

RULES = (CIRCLE, "keep if lower", "2 sigma below the floor", "Welch 5 v 3 at .05", "Cohen's d >= .5, 5 v 3")


def by_rule(values: list[float], **options: object) -> dict[str, FalseWins]:
    found = false_wins(values, **{"direction": "min", **options})  # type: ignore[arg-type]
    return {row.rule: row for row in found}


def normal(n: int = 400) -> list[float]:
    return (3.5 + 0.01 * np.random.default_rng(3).standard_normal(n)).tolist()


def test_normal_noise_gives_what_the_simulation_gives() -> None:
    found = by_rule(normal())
    rng = np.random.default_rng(4)
    simulated = {CIRCLE: circle(Noise(rng.standard_normal), 8000, 60)} | rivals(Noise(rng.standard_normal), 8000, 60)
    assert tuple(found) == tuple(simulated) == RULES
    for rule, played in simulated.items():
        expected = rates(rule, played).sessions_with_a_claim
        error = (expected * (1 - expected) * (1 / 2000 + 1 / 8000)) ** 0.5
        assert found[rule].sessions_with_a_claim == pytest.approx(expected, abs=4 * error + 0.02)
    assert found[CIRCLE].upper_sessions < 0.02
    assert found["keep if lower"].sessions_with_a_claim > 0.95


def test_two_thousand_sessions_take_seconds() -> None:
    start = time.process_time()
    by_rule(normal(8))
    assert time.process_time() - start < 5


def test_skewed_noise_shows() -> None:
    """Rare good runs deceive the 2-sigma rule, rare bad ones do not; in a pair of equal arms the skew cancels."""
    rare = -0.01 * np.log(1 - (np.arange(60) + 0.5) / 60)  # the quantiles of an exponential
    bad, good = (3.5 + rare).tolist(), (3.5 - rare).tolist()
    assert shape(bad)["skewness"] > 1
    assert shape(good)["skewness"] < -1
    assert shape(bad)["shapiro_p"] < 0.01 < shape(normal(40))["shapiro_p"]
    rule = "2 sigma below the floor"
    even = by_rule(normal())[rule].claimed_per_idea
    assert by_rule(bad)[rule].claimed_per_idea < even / 2 < 1.2 * even < by_rule(good)[rule].claimed_per_idea
    assert by_rule(bad)[CIRCLE].upper_sessions < 0.02


def test_the_direction_turns_the_noise_over() -> None:
    rare = (3.5 + np.random.default_rng(5).exponential(0.01, 60)).tolist()
    assert by_rule(rare, direction="max") == by_rule([-value for value in rare], direction="min")


def test_few_runs_and_ties_are_noise_too() -> None:
    for values in ([1.0, 2.0], [1.0, 1.0, 1.0, 2.0], [0.0, 0.0, 1.0]):
        for row in by_rule(values, sessions=200, ideas=10).values():
            assert 0 <= row.claimed_per_idea <= row.upper_per_idea <= 1
            assert 0 <= row.sessions_with_a_claim <= row.upper_sessions <= 1
    assert shape([1.0, 2.0]) == {"n": 2, "mean": 1.5, "std": 0.5**0.5, "skewness": None, "shapiro_p": None}


@pytest.mark.parametrize("values", [[1.0], [1.0, 1.0, 1.0], [1.0, float("nan")]])
def test_runs_that_tell_no_noise_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"at least 2|changes nothing|not finite"):
        by_rule(values)
    with pytest.raises(ValueError, match=r"at least 2|changes nothing|not finite"):
        shape(values)


def test_one_seed_gives_one_answer() -> None:
    assert by_rule(normal(8), sessions=50) == by_rule(normal(8), sessions=50)
    assert by_rule(normal(8), sessions=50) != by_rule(normal(8), sessions=50, seed=1)


def test_the_bootstrap_keeps_mean_and_deviation() -> None:
    units = np.array([-1.2, -0.3, 0.1, 0.2, 1.2])
    units = (units - units.mean()) / units.std(ddof=1)
    drawn = smoothed(np.random.default_rng(6), units)((400_000,))
    assert drawn.mean() == pytest.approx(0, abs=0.01)
    assert drawn.std() == pytest.approx(1, abs=0.01)
    assert len(np.unique(drawn)) == len(drawn)


def test_two_arms_correlate_at_the_same_seed() -> None:
    one, other = Noise(np.random.default_rng(7).standard_normal, 0.7).pairs(200_000, 1)
    assert np.corrcoef(one[:, 0], other[:, 0])[0, 1] == pytest.approx(0.7, abs=0.01)
    assert one.std() == pytest.approx(1, abs=0.01)


def test_a_session_ends_with_its_confirmations() -> None:
    """Where every idea overfits the visible split, each is confirmed, and only so many can be."""
    for confidence in ("standard", "strict"):
        played = circle(Noise(np.random.default_rng(8).standard_normal), 500, 60, confidence, overfit=9.0)
        refused = played.claims == 0
        assert set(played.ideas[refused]) == {ATTEMPTS[confidence]}
        assert (played.ideas[~refused] <= ATTEMPTS[confidence]).all()


def test_the_upper_bound_is_clopper_and_pearsons() -> None:
    assert upper(0, 100) == pytest.approx(1 - 0.05 ** (1 / 100))  # the rule of three
    assert upper(100, 100) == 1
    assert upper(5, 100) == pytest.approx(0.10225, abs=1e-5)
