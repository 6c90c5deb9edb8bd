"""The baseline outside a session: measured under its key, shown, or imported from published files for reference."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.errors import UsageError
from agents.ports import Reporter

if TYPE_CHECKING:
    from agents.session import Home


def standing(home: Home, preset: str | None, report: Reporter) -> dict[str, Any]:
    """Return the baseline of the current commit, measuring it where none is on record."""
    from agents.nodes.baseline import floor_of
    from agents.session import measuring

    with measuring(home, preset, report) as (target, laboratory, base, scale, tokens):
        floor = floor_of(laboratory, target.metric, base, scale, tokens)
    return floor.model_dump(mode="json") | {"imported": imported(home)}


def import_files(home: Home, files: Sequence[Path]) -> None:
    """Put published metrics files on record; raise UsageError for one that cannot be used, and keep none then."""
    known = {item["file"]: item for item in imported(home)}
    read = {str(file): {"file": str(file), "val_loss": _val_loss(file)} for file in files}
    home.prepare()
    place = _place(home)
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(list((known | read).values()), indent=1), encoding="utf-8")


def imported(home: Home) -> list[dict[str, Any]]:
    """Return the imported figures: for reference only, since this machine cannot repeat them."""
    try:
        document = json.loads(_place(home).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return document if isinstance(document, list) else []


def _place(home: Home) -> Path:
    return home.folder / "baselines" / "imported.json"


def _val_loss(file: Path) -> float:
    try:
        value = float(json.loads(file.read_text(encoding="utf-8"))["final_metrics"]["val_loss"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UsageError(f"{file} is no metrics file with final_metrics.val_loss: {error}.") from error
    if not math.isfinite(value):
        raise UsageError(f"{file} gives a val_loss of {value}, which is no figure.")
    return value
