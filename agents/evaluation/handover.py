"""What a run hands over to its model's process: its weights and its settings, copied and checked, and no more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from agents.errors import LaboratoryError
from agents.evaluation.weights import LARGEST_BYTES, count_parameters, unique_keys

_LARGEST_SETTINGS_BYTES = 1 << 16


def hand_over(run: Path, weights: str, settings: str, folder: Path) -> int:
    """Copy both files of a run to their places below an empty folder; return the number of parameters.

    `weights` is one safetensors file and `settings` a small JSON object, or "" for a model that needs none. It is
    the copies that are checked, for whatever the run left behind can no longer change them. Raise LaboratoryError
    if one is not what it should be.
    """
    if settings:
        _check_settings(_copy(run, settings, folder, _LARGEST_SETTINGS_BYTES))
    return count_parameters(_copy(run, weights, folder, LARGEST_BYTES))


def _copy(run: Path, name: str, folder: Path, most: int) -> Path:
    source, place = run / name, folder / name
    if not source.is_file() or source.resolve() != run.resolve() / name:
        raise LaboratoryError(f"The run left no file {name} to hand over.")
    if source.stat().st_size > most:
        raise LaboratoryError(f"The run's {name} has {source.stat().st_size} bytes: more than {most} are not taken.")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place, follow_symlinks=False)
    return place


def _check_settings(file: Path) -> None:
    try:
        document = json.loads(file.read_bytes().decode(), object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise LaboratoryError(f"The run's settings {file.name} are no JSON: {error}.") from error
    if not isinstance(document, dict):
        raise LaboratoryError(f"The run's settings {file.name} are no JSON object.")
