"""The published tables, small: they run, and their figures agree with each other."""

import numpy as np

from benchmarks import candidates, causes, verdict


def percent(cell: str) -> float:
    return float(cell.split()[0])


def test_the_causes_are_named_rightly_where_they_are_three_errors_away() -> None:
    rows = list(causes.matrix(np.random.default_rng(0), 150))
    assert all(len(row) == len(causes.HEAD) for row in rows)
    certain = {name for name, _, _ in causes.CERTAIN}
    for name, away, right, wrong, *_ in rows:
        if name in certain:
            assert percent(right) == 100
        elif away:
            assert percent(right) > (82 if away == "3" else 93), name  # 90 %: 3 standard errors of 150 are 7 %
            assert percent(wrong) < 5, name


def test_an_interval_of_the_screen_is_right_nine_times_in_ten() -> None:
    rows = {tuple(row[:3]): row[3:] for row in causes.visible(np.random.default_rng(0), 20_000)}
    line, away = (percent(rows[0.9, 4, "own"][column]) for column in (3, 4))
    assert abs(line - 10) < 1
    assert abs(away - 90) < 1.5


def test_no_candidate_is_better_everywhere() -> None:
    rows = list(candidates.compared(np.random.default_rng(0), 4_000, 4_000))
    assert all(len(row) == len(candidates.HEAD) for row in rows)
    today, *others = rows
    assert {float(ratio) for ratio in today[5:10]} == {1}
    assert all(max(float(ratio) for ratio in row[5:10]) > 0.92 for row in others)


def test_the_tables_are_as_wide_as_their_heads() -> None:
    rng = np.random.default_rng(0)
    assert all(len(row) == len(candidates.GIVEN_UP) for row in candidates.given_up(rng, 500))
    assert {len(row) for row in verdict.size(rng, 500)} == {4}
    assert {len(row) for row in verdict.power(rng, 200)} == {7}
    assert {len(row) for row in verdict.sessions(rng, 20)} == {7}
    assert {len(row) for row in verdict.nights(rng, 20)} == {7}
    assert {len(row) for row in verdict.revised(rng, 100)} == {6}
    assert {len(row) for row in verdict.inflation(rng, 5_000)} == {2}
    assert [row[0] for row in verdict.provable(rng, 500)] == ["standard", "relaxed", "strict"]
