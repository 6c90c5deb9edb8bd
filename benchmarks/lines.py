"""Files of one JSON line a run, which a killed training leaves and goes on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_runs(file: Path) -> list[dict[str, Any]]:
    """The runs that have ended; a line that a kill cut short is taken off the file."""
    if not file.exists():
        return []
    text = file.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]
