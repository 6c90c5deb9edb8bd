"""The verdict's arithmetic against numbers worked by hand, its laws, and its size by simulation."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.false_wins import Noise, confirmed, screened
from agents.records import Confidence, Interval
from agents.statistics import (
    ATTEMPTS,
    BOUNDARIES,
    LEVEL,
    Evidence,
    Floor,
    cohens_d,
    compute_saved,
    confirm,
    diverged,
    equal_time,
    gain,
    interval,
    judge,
    kappa,
    kappa_margin,
    near_zero,
    noise_floor,
    ratio_interval,
    read_ablation,
    read_scale,
    screen,
    seed,
    skewness,
    smallest_provable_effect,
    t_statistic,
)

STANDARD, RELAXED, STRICT = (BOUNDARIES[confidence] for confidence in ("standard", "relaxed", "strict"))
numbers = st.floats(-1e6, 1e6).map(lambda x: round(x, 6))
at_a_look = st.sampled_from([look.n for look in STANDARD]).flatmap(
    lambda n: st.builds(
        lambda noise, mean: [mean + value for value in noise],
        st.lists(st.integers(-100, 100).map(float), min_size=n, max_size=n),
        st.integers(-300, 300).map(float),
    )
)


def spread_out(n: int, t: float) -> list[float]:
    """n values whose t statistic is t: n/2 of each of two numbers around the mean 1."""
    sd = math.sqrt(n) / t
    step = sd * math.sqrt((n - 1) / n)
    return [1 - step, 1 + step] * (n // 2)


# -- direction


def test_less_loss_and_more_accuracy_are_gains() -> None:
    assert gain(3.0, 2.5, "min") == 0.5
    assert gain(0.25, 0.5, "max") == 0.25
    assert gain(3.0, 3.5, "min") == -0.5


@given(numbers, numbers)
def test_the_gain_changes_its_sign_with_the_direction_and_with_the_arms(a: float, b: float) -> None:
    assert gain(a, b, "min") == -gain(a, b, "max") == -gain(b, a, "min")


# -- noise floor and intervals


def test_the_floor_is_the_sample_standard_deviation() -> None:
    assert noise_floor([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]) == Floor(8, 5.0, math.sqrt(32 / 7))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([1.0], "at least 2"),
        ([1.0, math.nan], "not finite"),
        ([1.0, math.inf], "not finite"),
        ([1.5, 1.5, 1.5], "seed changes nothing"),
    ],
)
def test_a_floor_that_says_nothing_is_refused(values: list[float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        noise_floor(values)


def test_students_interval_of_five_values() -> None:
    # mean 3, sd sqrt(2.5), t(4, .975) = 2.776445: half-width 2.776445 * sqrt(2.5 / 5)
    found = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.mean, found.low, found.high) == pytest.approx((3.0, 3 - 1.963243, 3 + 1.963243), abs=1e-6)


def test_one_value_bounds_nothing_and_equal_values_bound_all() -> None:
    assert interval([2.0]) == Interval(mean=2.0, low=-math.inf, high=math.inf)
    assert interval([2.0, 2.0]) == Interval(mean=2.0, low=2.0, high=2.0)
    with pytest.raises(ValueError, match="at least one"):
        interval([])


def test_the_floor_lends_two_pairs_its_degrees_of_freedom() -> None:
    # squares 0.02 + 7 * 2 * 0.25 = 3.52 over 8 df, t(8, .95) = 1.859548: half-width 1.859548 * sqrt(0.44 / 2)
    found = interval([0.9, 1.1], 0.90, Floor(8, 3.0, 0.5))
    assert found.high - found.mean == pytest.approx(0.872205, abs=1e-6)
    alone = interval([1.0], 0.90, Floor(8, 3.0, 0.5))  # 7 df, t = 1.894579, variance 0.5
    assert alone.high - alone.mean == pytest.approx(1.339670, abs=1e-6)


def test_a_ratio_is_a_geometric_mean() -> None:
    found = ratio_interval([2.0, 8.0], [1.0, 1.0])
    assert found.mean == pytest.approx(4.0)
    assert found.low * found.high == pytest.approx(16.0)
    assert ratio_interval([3.0], [2.0]).high == math.inf


def test_a_ratio_needs_positive_pairs() -> None:
    with pytest.raises(ValueError, match="positive"):
        ratio_interval([1.0, 0.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="zip"):
        ratio_interval([1.0, 2.0], [1.0])


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), min_size=2, max_size=8))
def test_swapping_the_arms_inverts_the_ratio(pairs: list[tuple[float, float]]) -> None:
    experiment, baseline = zip(*pairs, strict=True)
    there, back = ratio_interval(experiment, baseline), ratio_interval(baseline, experiment)
    assert there.mean * back.mean == pytest.approx(1)
    assert math.log(there.low) == pytest.approx(-math.log(back.high), abs=1e-9)


# -- statistics of the differences


def test_t_by_hand() -> None:
    assert t_statistic([1.0, 2.0, 3.0]) == pytest.approx(2 * math.sqrt(3))
    assert t_statistic([0.5, 0.5]) == math.inf
    assert t_statistic([-0.5, -0.5]) == -math.inf
    assert t_statistic([0.0, 0.0]) == 0.0


@pytest.mark.parametrize("bad", [[1.0], [1.0, math.nan], [1.0, math.inf]])
def test_t_refuses_what_is_no_difference(bad: list[float]) -> None:
    with pytest.raises(ValueError, match=r"at least two|not finite"):
        t_statistic(bad)


def test_cohens_d_by_hand() -> None:
    # both arms have variance 1, so d is the difference of the means
    assert cohens_d([1.0, 2.0, 3.0], [0.0, 1.0, 2.0], "min") == pytest.approx(1.0)
    assert cohens_d([1.0, 2.0, 3.0], [0.0, 1.0, 2.0], "max") == pytest.approx(-1.0)
    # pooled variance (2 * 1 + 1 * 8) / 3
    assert cohens_d([1.0, 2.0, 3.0], [0.0, 4.0], "max") == pytest.approx(0.0)
    assert cohens_d([1.0, 2.0, 3.0], [1.0, 5.0], "max") == pytest.approx(1 / math.sqrt(10 / 3))
    assert cohens_d([1.0], [0.0, 1.0], "min") is None
    assert cohens_d([1.0, 1.0], [0.0, 0.0], "min") is None


def test_skewness_by_hand() -> None:
    # 0 0 0 4: mean 1, m3 = (27 - 3) / 4 = 6, m2 = (9 + 3) / 4 = 3
    assert skewness([0.0, 0.0, 0.0, 4.0]) == pytest.approx(6 / 3**1.5)
    assert skewness([1.0, 2.0, 3.0]) == pytest.approx(0.0)
    assert skewness([1.0, 2.0]) is None
    assert skewness([1.0, 1.0, 1.0]) is None


# -- screen


@pytest.mark.parametrize(
    ("gains", "answer"),
    [
        ([0.9], "more"),
        ([0.6, -0.2], "drop"),  # mean 0.20 sigma, t 0.5
        ([0.8, -0.2], "more"),  # mean 0.30 sigma
        ([0.02, 0.01], "more"),  # both gain
        ([0.8, -0.2, 0.7], "more"),
        ([0.8, -0.2, 2.0, 0.0], "drop"),  # mean 0.65 sigma, t 1.31
        ([0.8, -0.2, 2.0, 0.8], "survives"),  # mean 0.85 sigma
        ([0.5, 0.2, 0.8, 0.3], "survives"),  # mean 0.45 sigma, t 3.5: pairs that vary together
        ([0.6, -0.2, 9.0, 9.0], "drop"),  # a gate that closed stays closed
    ],
)
def test_the_screen(gains: list[float], answer: str) -> None:
    assert screen(gains, 1.0) == answer
    assert screen([g / 4 for g in gains], 0.25) == answer


# -- confirmation


@pytest.mark.parametrize("looks", [STANDARD, RELAXED, STRICT])
def test_each_look_decides_at_its_bounds(looks: tuple) -> None:
    for look in looks:
        assert confirm(spread_out(look.n, look.win + 0.001), looks) == "win"
        below = confirm(spread_out(look.n, look.win - 0.001), looks)
        assert below == ("refused" if look.stop is None else "more")
        if look.stop is not None:
            assert confirm(spread_out(look.n, look.stop + 0.001), looks) == "more"
            assert confirm(spread_out(look.n, look.stop - 0.001), looks) == "refused"


def test_the_published_bounds() -> None:
    assert [tuple(look) for look in STANDARD] == [(6, 5.65, 1.0), (10, 4.30, 2.0), (16, 3.55, None)]
    assert [look.win for look in RELAXED] == [4.33, 3.54, 2.96]
    assert [look.win for look in STRICT] == [6.3, 4.7, 3.8]


def test_between_looks_nothing_is_decided() -> None:
    undecided = {
        n for n in range(17) if confirm([5.0, 5.1] * 8 if n == 16 else ([5.0, 5.1] * 8)[:n], STANDARD) == "more"
    }
    assert undecided == set(range(17)) - {6, 10, 16}


def test_more_pairs_than_the_last_look_are_an_error() -> None:
    with pytest.raises(ValueError, match="17 pairs"):
        confirm([1.0] * 17, STANDARD)


def test_a_win_needs_the_minimum_effect() -> None:
    sure = [1.0, 1.01, 0.99, 1.0, 1.01, 0.99]
    assert confirm(sure, STANDARD, 0.9) == "win"
    assert confirm(sure, STANDARD, 1.1) == "more"
    assert confirm([1.0, 1.01] * 8, STANDARD, 1.1) == "refused"


def test_arms_that_are_equal_do_not_win() -> None:
    assert confirm([0.0] * 6, STANDARD) == "refused"


@given(at_a_look, st.integers(0, 300))
def test_a_better_mean_never_turns_a_decision_worse(differences: list[float], shift: int) -> None:
    order = ("refused", "more", "win")
    better = confirm([d + shift for d in differences], STANDARD)
    assert order.index(better) >= order.index(confirm(differences, STANDARD))


@given(at_a_look, st.integers(-8, 8), st.floats(0, 10))
def test_the_unit_of_the_metric_does_not_matter(differences: list[float], power: int, least: float) -> None:
    scaled = [d * 2.0**power for d in differences]
    assert confirm(scaled, STANDARD, least * 2.0**power) == confirm(differences, STANDARD, least)


@given(at_a_look)
def test_no_version_and_its_opposite_both_win(differences: list[float]) -> None:
    answers = [confirm(differences, STANDARD), confirm([-d for d in differences], STANDARD)]
    assert answers.count("win") <= 1
    assert "refused" in answers or answers == ["more", "more"]


@pytest.mark.parametrize(
    ("confidence", "low", "high", "session"),
    [("standard", 0.0027, 0.0038, 0.012), ("relaxed", 0.008, 0.010, 0.03), ("strict", 0.0016, 0.0025, 0.0126)],
)
def test_a_useless_version_wins_as_rarely_as_published(
    confidence: Confidence, low: float, high: float, session: float
) -> None:
    won, _ = confirmed(np.random.default_rng(1).standard_normal((120_000, 16)), BOUNDARIES[confidence])
    assert low < won.mean() < high  # 0.32 %: 3 standard errors of the simulation are 0.05 %
    assert ATTEMPTS[confidence] * high <= session


def test_whole_sessions_are_played_by_the_same_rule() -> None:
    rng = np.random.default_rng(2)
    baseline, tried = Noise(rng.standard_normal, 0.5).pairs(300, 16)
    differences, sigma = baseline - tried + 1, np.abs(baseline[:, 0]) + 0.5
    won, pairs = confirmed(differences, STANDARD)
    alive, runs = screened(differences[:, :4], sigma)
    for i, row in enumerate(differences.tolist()):
        answers = {look.n: confirm(row[: look.n], STANDARD) for look in STANDARD}
        n = next(n for n, answer in answers.items() if answer != "more")
        assert (answers[n] == "win", n) == (won[i], pairs[i])
        screens = {n: screen(row[:n], sigma[i]) for n in (2, 4)}
        n = next(n for n, answer in screens.items() if answer != "more")
        assert (screens[n] == "survives", n) == (alive[i], runs[i])
    assert 0 < won.mean() < 1
    assert 0 < alive.mean() < 1


def test_the_smallest_provable_effect_is_confirmed_four_times_in_five() -> None:
    effect = smallest_provable_effect(2.0, STANDARD)
    won, _ = confirmed(2 * np.random.default_rng(3).standard_normal((20_000, 16)) + effect, STANDARD)
    assert won.mean() == pytest.approx(0.8, abs=0.02)


# -- seeds


def test_a_seed_is_a_published_hmac() -> None:
    # printf "confirm|0" | openssl dgst -sha256 -hmac secret: 1 + (the first 16 hex digits mod 2^31 - 1)
    assert seed(b"secret", "confirm", 0) == 215718238


@given(st.binary(max_size=40), st.text(max_size=10), st.integers(0, 100))
def test_a_seed_fits_31_bits_and_depends_on_all_that_names_it(secret: bytes, bank: str, index: int) -> None:
    found = seed(secret, bank, index)
    assert 1 <= found < 2**31
    assert found == seed(secret, bank, index)
    assert (
        len(
            {
                found,
                seed(secret + b"x", bank, index),
                seed(secret, bank + "x", index),
                seed(secret, bank, index + 1),
            }
        )
        == 4
    )


# -- time


def test_kappa_is_the_gain_per_log_of_compute() -> None:
    assert kappa([4.0, 4.2], [3.9, 4.0], "min") == pytest.approx(0.15 / math.log(1.25))
    assert kappa([0.5], [0.75], "max", stretch=2.0) == pytest.approx(0.25 / math.log(2))


def test_equal_time_takes_the_time_off_and_adds_the_errors_in_squares() -> None:
    effect = Interval(mean=1.0, low=0.7, high=1.3)
    speed = Interval(mean=math.e, low=math.exp(0.8), high=math.exp(1.2))
    found = equal_time(effect, speed, 2.0)
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((-1.0, -1.5, -0.5))


def test_a_faster_experiment_gains_and_a_worthless_kappa_costs_nothing() -> None:
    effect = Interval(mean=0.0, low=-0.1, high=0.1)
    faster, unknown = Interval(mean=0.5, low=0.4, high=0.625), Interval(mean=2.0, low=0.0, high=math.inf)
    assert equal_time(effect, faster, 1.0).mean == pytest.approx(math.log(2))  # type: ignore[union-attr]
    assert equal_time(effect, unknown, -3.0) == effect
    assert equal_time(effect, unknown, 1.0).high == math.inf  # type: ignore[union-attr]
    assert equal_time(effect, faster, None) is None


def test_the_error_of_kappa_counts_the_more_the_slower_the_experiment() -> None:
    # two arms of variance 0.04 over 2 seeds: error 0.2; t(7, .9) = 1.414924
    margin = kappa_margin(Floor(8, 3.0, 0.2), 2)
    assert margin == pytest.approx(1.414924 * 0.2 / math.log(1.25), rel=1e-5)
    effect = Interval(mean=1.0, low=0.7, high=1.3)
    twice = Interval(mean=2.0, low=2.0, high=2.0)
    found = equal_time(effect, twice, 0.5, margin)
    assert found is not None
    assert found.high - found.mean == pytest.approx(math.hypot(0.3, margin * math.log(2)))
    assert equal_time(effect, Interval(mean=1.0, low=1.0, high=1.0), 0.5, margin) == effect


@pytest.mark.parametrize(("mean", "answer"), [(0.0, True), (1.9, True), (-1.9, True), (2.1, False), (-2.1, False)])
def test_a_baseline_is_trained_as_long_where_the_estimate_is_within_two_standard_errors(
    mean: float, answer: bool
) -> None:
    pairs = interval([mean - 1, mean + 1, mean - 1, mean + 1], LEVEL)
    error = math.sqrt(4 / 3) / 2
    scaled = Interval(mean=mean, low=mean + (pairs.low - mean) / error, high=mean + (pairs.high - mean) / error)
    assert near_zero(scaled, 4) is answer
    with pytest.raises(ValueError, match="at least 2 pairs"):
        near_zero(scaled, 1)


@pytest.mark.parametrize(
    ("low", "high", "ablation", "scale"),
    [
        (-0.1, 0.4, "trivial", "scale-dependent"),
        (0.1, 0.4, "trivial", "holds"),
        (0.1, 0.6, "mechanism", "holds"),
        (-0.1, 0.6, "open", "open"),
        (-0.4, -0.1, "trivial", "scale-dependent"),
    ],
)
def test_what_is_read_from_a_check_after_a_win_of_one(low: float, high: float, ablation: str, scale: str) -> None:
    """Of an ablation the interval is of what it lacks, of a scale it is of the gain; the whole of it must say so."""
    seen = Interval(mean=(low + high) / 2, low=low, high=high)
    assert (read_ablation(seen, 1.0), read_scale(seen, 1.0)) == (ablation, scale)


def test_the_compute_that_a_gain_saves() -> None:
    # what kappa * ln 1.5 of loss would have cost the baseline: half as many tokens again
    assert compute_saved(0.2 * math.log(1.5), 0.2) == pytest.approx(0.5)
    won = Evidence(sigma=1.0, confirmation="win", equal_time_effect=BETTER, retrained=True)
    assert judge(dataclasses.replace(won, kappa=1.0)).finding.endswith(
        "+0.5 [+0.1, +0.9], what 65% more compute would give."
    )
    for unknown in (None, -1.0, 0.0, 0.4):
        assert judge(dataclasses.replace(won, kappa=unknown)).finding.endswith("+0.5 [+0.1, +0.9].")


# -- divergence

BASELINES = (
    [4.0, 3.0, 2.5, 2.3, 2.2, 2.1, 2.1, 2.1, 2.1],
    [4.1, 3.1, 2.4, 2.2, 2.1, 2.2, 2.0, 2.0, 2.0],
    [3.9, 2.9, 2.6, 2.4, 2.3, 2.0, 2.2, 2.2, 2.2],
)  # sd 0.1 everywhere
FALL = [4.0, 3.0, 2.6, 2.5, 2.4, 2.4]


@pytest.mark.parametrize(
    ("curve", "answer"),
    [
        ([*FALL, 2.3, 2.3, 2.3], False),
        ([*FALL, 4.0, 5.0, 6.0], True),
        ([*FALL, 9.0, 9.0, math.nan], True),
        ([*FALL, math.inf], True),
        ([9.0, 8.5, 8.0, 7.5, 7.0, 6.5, 6.0, 5.5, 5.0], False),  # slow and far above every baseline, but it learns
        ([4.0, 5.1, 3.8, 5.3, 4.1, 5.2, 5.0, 5.3, 5.1], False),  # bad, noisy and stable
        ([*FALL, 9.0, 9.0, 2.3], False),  # a spike that healed
        ([*FALL, 3.2, 3.0, 2.95], True),  # at least 0.5 above the baselines' 2.2 and its own 2.4
        ([*FALL, 3.2, 3.0, 2.85], False),  # the last check is 0.45 above its own best
        ([4.0, 1.0, *FALL[2:], 2.3, 2.2, 2.1], False),  # back among the baselines after a lucky check
        ([*FALL, 2.3, 2.3, 9.0], False),  # one bad check is no divergence
        ([4.0, 9.0], False),
        ([], False),
    ],
)
def test_a_diverged_curve_is_lost_to_the_baselines_and_to_its_own_past(curve: list[float], answer: bool) -> None:
    assert diverged(curve, BASELINES) is answer


def test_one_baseline_has_no_step_sigma() -> None:
    with pytest.raises((ValueError, TypeError)):
        diverged([4.0, 3.0, 2.5], BASELINES[:1])


# -- the table of causes


def span(low: float, high: float) -> Interval:
    return Interval(mean=(low + high) / 2, low=low, high=high)


BETTER, WORSE, USELESS, OPEN = span(0.1, 0.9), span(-0.9, -0.1), span(-0.2, 0.2), span(-0.4, 1.2)
AS_FAST, SLOWER = span(0.99, 1.01), span(1.28, 1.32)
TABLE = [
    (1, "invalid", "implementation", "regression", {"regression_failed": True}),
    (1, "invalid", "implementation", "causality", {"causality_failed": True}),
    (1, "invalid", "implementation", "liveness", {"dead_flag": True}),
    (2, "loss", "implementation", "crash", {"experiment_failure": "crash"}),
    (2, "loss", "implementation", "timeout", {"experiment_failure": "timeout"}),
    (2, "loss", "implementation", "diverged_early", {"experiment_failure": "diverged_early"}),
    (3, "loss", "theory", "diverged seeds", {"experiment_failure": "diverged_late", "diverged_seeds": 2}),
    (
        3,
        "loss",
        "implementation",
        "diverged seeds",
        {"experiment_failure": "diverged_late", "diverged_seeds": 1},
    ),
    (3, "loss", "theory", "diverged seeds", {"experiment_failure": "diverged_late", "repaired_once": True}),
    (4, "loss", "system", "gain at equal time", {"visible_effect": BETTER, "equal_time_effect": WORSE}),
    (4, "loss", "system", "gain at equal time", {"confirmation": "win", "equal_time_effect": WORSE}),
    (4, "loss", "system", "memory ratio", {"visible_effect": BETTER, "memory_ratio": 2.1}),
    (4, "loss", "system", "step-time ratio", {"visible_effect": BETTER, "speed_ratio": SLOWER, "time_limit": 1.01}),
    (
        *(5, "win", None, "gain at equal tokens"),
        {"confirmation": "win", "visible_effect": BETTER, "speed_ratio": SLOWER, "time_limit": 9.0},
    ),
    (5, "win", None, "gain at equal tokens", {"confirmation": "win", "speed_ratio": AS_FAST}),
    (
        5,
        "win",
        None,
        "gain at equal time",
        {"confirmation": "win", "speed_ratio": AS_FAST, "equal_time_effect": OPEN},
    ),
    (
        5,
        "win",
        None,
        "gain at equal time",
        {"confirmation": "win", "equal_time_effect": BETTER, "retrained": True},
    ),
    (6, "inconclusive", "system", "gain at equal time", {"confirmation": "win"}),
    (
        6,
        "inconclusive",
        "system",
        "gain at equal time",
        {"confirmation": "win", "speed_ratio": SLOWER, "equal_time_effect": BETTER},
    ),
    (
        6,
        "inconclusive",
        "system",
        "gain at equal time",
        {"confirmation": "win", "equal_time_effect": span(-0.9, 0.1), "retrained": True},
    ),
    (7, "loss", "theory", "gain at equal tokens", {"visible_effect": WORSE, "memory_ratio": 9.0}),
    (8, "loss", "theory", "gain at equal tokens", {"visible_effect": USELESS}),
    (
        8,
        "loss",
        "theory",
        "gain at equal tokens",
        {"visible_effect": span(0.1, 0.4), "confirmation": "refused"},
    ),
    (
        9,
        "inconclusive",
        "noise",
        "gain at equal tokens",
        {"visible_effect": BETTER, "confirmation": "refused"},
    ),
    (10, "inconclusive", "noise", "pairs to settle", {"visible_effect": BETTER, "memory_ratio": 2.0}),
    (10, "inconclusive", "noise", "pairs to settle", {"visible_effect": OPEN, "confirmation": "refused"}),
    (10, "inconclusive", "noise", "pairs to settle", {}),
]


@pytest.mark.parametrize(("row", "outcome", "cause", "quantity", "facts"), TABLE)
def test_every_row_of_the_table(row: int, outcome: str, cause: str | None, quantity: str, facts: dict) -> None:
    verdict = judge(Evidence(sigma=1.0, **facts))
    assert (verdict.row, verdict.outcome, verdict.cause, verdict.quantity) == (row, outcome, cause, quantity)
    assert verdict.finding.endswith(".")
    assert "None" not in verdict.finding


def test_a_confirmation_says_what_it_rests_on() -> None:
    """A run's own word knows of no hidden split."""
    facts = {"sigma": 1.0, "visible_effect": BETTER, "confirmation": "win", "speed_ratio": SLOWER, "time_limit": 9.0}
    assert "hidden data" in judge(Evidence(**facts)).finding
    told = judge(Evidence(**facts, self_reported=True)).finding
    assert "by the runs' own word" in told and "hidden" not in told and "which is allowed" in told


def test_the_first_row_that_matches_wins() -> None:
    """Every defect at once; mend the one that decided, and the next row decides."""
    evidence = Evidence(
        sigma=1.0,
        regression_failed=True,
        experiment_failure="crash",
        visible_effect=BETTER,
        speed_ratio=SLOWER,
        equal_time_effect=WORSE,
        confirmation="win",
    )
    mends = [
        {"regression_failed": False},
        {"experiment_failure": "diverged_late"},
        {"experiment_failure": None},
        {"equal_time_effect": BETTER, "retrained": True},
        {"retrained": False},
        {"confirmation": None, "visible_effect": WORSE},
        {"visible_effect": USELESS},
        {"visible_effect": BETTER, "confirmation": "refused"},
        {"confirmation": None},
    ]
    rows = [judge(evidence).row]
    for mend in mends:
        evidence = dataclasses.replace(evidence, **mend)
        rows.append(judge(evidence).row)
    assert rows == list(range(1, 11))


def test_a_finding_tells_the_measured_numbers() -> None:
    slow = Evidence(sigma=1.0, visible_effect=BETTER, equal_time_effect=WORSE, speed_ratio=SLOWER)
    assert judge(slow).finding == (
        "Better at equal tokens (+0.5 [+0.1, +0.9]), but worse at equal time (-0.5 [-0.9, -0.1])"
        " with a step-time ratio of 1.300."
    )
    assert judge(Evidence(sigma=1.0, visible_effect=BETTER, memory_ratio=2.5)).value == 2.5


def test_the_pairs_to_settle() -> None:
    # sd of 1, 3 is sqrt 2, mean 2: (3.55 * 1.4142 / 2)^2 = 6.3; unmeasured: (3.55 * 1.4142 / 0.5)^2 = 100.8
    assert judge(Evidence(sigma=1.0, differences=(1.0, 3.0))).value == 7
    assert judge(Evidence(sigma=1.0)).value == 101
    # a mean below half a sigma counts as half a sigma: (3.55 * 1.4142 / 2)^2 again
    assert judge(Evidence(sigma=4.0, differences=(-1.0, 1.0))).value == 7
    ended = judge(Evidence(sigma=1.0, visible_effect=OPEN, budget_ended=True))
    assert ended.finding == (
        "The budget ended before an answer: the visible gain is +0.4 [-0.4, +1.2]; about 101 pairs would settle it."
    )


@given(st.tuples(numbers, numbers).map(sorted), st.sampled_from([None, "win", "refused"]), st.booleans())
def test_only_a_confirmation_wins(bounds: list[float], answer: str | None, fast: bool) -> None:
    evidence = Evidence(
        sigma=1.0, visible_effect=span(*bounds), confirmation=answer, speed_ratio=AS_FAST if fast else SLOWER
    )  # type: ignore[arg-type]
    assert (judge(evidence).outcome == "win") == (answer == "win" and fast)
