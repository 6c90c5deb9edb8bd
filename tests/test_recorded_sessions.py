"""Recorded sessions against today's graph: what they decided, wrote and went on to is what it does now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import circle
from tests.record_sessions import PLACE, RECORDED


@pytest.mark.parametrize("name", [record.__name__ for record in RECORDED])
def test_a_recorded_session_goes_the_same_way(name: str, tmp_path: Path) -> None:
    """Without its target or its base commit. After a change that is meant: `python -m tests.record_sessions`."""
    told = circle(tmp_path, "import", str(PLACE / f"{name}.circle"))
    assert told.returncode == 0, told.stderr
    ended = circle(tmp_path, "replay", told.stdout.split()[1], "--json")
    document = json.loads(ended.stdout)
    assert document["identical"] is True, document["first_divergence"]
    assert document["steps"] >= 8 and document["wall_seconds"] < 30
