"""What the view leaves out of a diff: one that is too long for it is not approved before all of it was shown."""

from __future__ import annotations

from agents.plain_text import LINE_CHARACTERS

MOST_LINES = 2000


def lines_of(diff: bytes) -> list[str]:
    """Return the lines of a diff; a byte that is no UTF-8 is an escape."""
    text = diff.decode(errors="backslashreplace")
    return text.removesuffix("\n").split("\n") if text else []


def left_out(diff: bytes) -> str:
    """Say how much of a diff is not in the view; nothing where all of it is."""
    lines = lines_of(diff)
    over = max(0, len(lines) - MOST_LINES)
    long = sum(len(line) > LINE_CHARACTERS for line in lines[:MOST_LINES])
    parts = [f"{over:,} of {len(lines):,} lines"] * (over > 0)
    parts += [f"the end of {long:,} line{'s'[: long > 1]} longer than {LINE_CHARACTERS:,} characters"] * (long > 0)
    return " and ".join(parts)
