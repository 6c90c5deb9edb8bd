"""The baseline outside a session: measured under its key, shown, or imported from published files for reference."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.errors import TargetError
from agents.ports import Reporter
from agents.published import limits, read_published, summary
from agents.settings import load_target

if TYPE_CHECKING:
    from agents.session import Home


def standing(home: Home, preset: str | None, report: Reporter) -> dict[str, Any]:
    """Return the baseline of the current commit, measuring it where none is on record."""
    from agents.measuring import measuring
    from agents.nodes.baseline import floor_of

    with measuring(home, report, preset=preset) as bench:
        floor = floor_of(bench.laboratory, bench.target.metric, bench.base, bench.preset, bench.train_tokens)
    return floor.model_dump(mode="json") | reference(home, bench.preset, bench.train_tokens)


def import_files(home: Home, files: Sequence[Path], preset: str | None = None) -> dict[str, Any]:
    """Put published metrics files on record, those of the same path anew, and return all that are.

    Files, folders and patterns; raise UsageError with a sentence for each that cannot be used, and keep none then.
    """
    scale = _scale(home, preset)
    known = {item.get("path", item["file"]): item for item in imported(home)}
    read = {item["path"]: item for item in read_published(files)}
    home.prepare()
    place = _place(home)
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(list((known | read).values()), indent=1), encoding="utf-8")
    return reference(home, *scale)


def reference(home: Home, name: str, tokens: int | None) -> dict[str, Any]:
    """Return the imported figures, each with its limits beside a preset, and what they are good for together."""
    figures = [item | {"limits": limits(item, name, tokens)} for item in imported(home)]
    return {"imported": figures, "imported_summary": summary(figures, name, tokens) if figures else None}


def imported(home: Home) -> list[dict[str, Any]]:
    """Return the imported figures: for reference only, since this machine cannot repeat them."""
    try:
        document = json.loads(_place(home).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return document if isinstance(document, list) else []


def _scale(home: Home, preset: str | None) -> tuple[str, int | None]:
    """The preset that figures are set beside, and its tokens; raise TargetError for a named one only."""
    with contextlib.suppress(*() if preset else (TargetError,)):
        target = load_target(home.target)
        name = preset or target.preset
        return name, target.scale(name).train_tokens
    return "unknown", None


def _place(home: Home) -> Path:
    return home.folder / "baselines" / "imported.json"
