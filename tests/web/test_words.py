"""Numbers and times as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agents.web.words import ago, duration, signed, span

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("2026-03-04T11:59:59Z", "1 second ago"),
        ("2026-03-04T11:00:00Z", "1 hour ago"),
        ("2026-03-02T11:00:00Z", "2 days ago"),
        ("2026-03-04T12:00:00Z", "just now"),
        ("2026-03-04T12:30:00Z", "just now"),
        ("no time", "at an unknown time"),
    ],
)
def test_how_long_ago(moment: str, said: str) -> None:
    assert ago(moment, NOON) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "-"), (0.2, "0.2 seconds"), (61, "1 minute 1 second"), (7200, "2 hours"), (90_061, "1 day 1 hour")],
)
def test_how_long(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


def test_gains_have_a_sign_and_intervals_both_bounds() -> None:
    assert (signed(0.01), signed(-0.01), signed(None)) == ("+0.0100", "-0.0100", "-")
    assert (span((-1.0, 2.0)), span(None), span((None, 2.0))) == ("[-1.0000, +2.0000]", "", "")
