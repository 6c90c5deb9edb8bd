"""Numbers and times in words, as the page's templates say them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
_STATUSES = {"awaiting_approval": "waits for you", "concluded": "ended without a victory", "victory": "victory"}


def ago(moment: str, now: datetime | None = None) -> str:
    """Return how long ago a UTC time of ISO 8601 was, in its largest unit."""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return "at an unknown time"
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    name, size = next((unit for unit in _UNITS if seconds >= unit[1]), ("", 1))
    return f"{_counted(int(seconds // size), name)} ago" if name else "just now"


def duration(seconds: float | None) -> str:
    """Return a number of seconds in its two largest units; a dash where nothing was measured."""
    if seconds is None:
        return "-"
    whole, said = round(seconds), []
    for name, size in _UNITS:
        if whole >= size:
            said.append(_counted(whole // size, name))
            whole %= size
    return " ".join(said[:2]) or f"{seconds:.1f} seconds"


def status_words(status: str) -> str:
    """Return a status as a person says it."""
    return _STATUSES.get(status, status)


def number(value: float | None, digits: int = 4) -> str:
    """Return a number for reading; a dash where nothing was measured."""
    return "-" if value is None else f"{value:.{digits}g}"


def signed(value: float | None) -> str:
    """Return a gain with its sign; a dash where nothing was measured."""
    return "-" if value is None else f"{value:+.4f}"


def span(interval: Sequence[float | None] | None) -> str:
    """Return an interval's bounds; nothing where there is none."""
    if not interval or None in interval:
        return ""
    low, high = interval
    return f"[{signed(low)}, {signed(high)}]"


def _counted(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"
