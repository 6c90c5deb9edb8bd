"""Published metrics files: what each says, what it lacks, and what its figure can therefore be used for.

A file may be of any age: the older fields alone, those of March 2026 with `experiment_config` and `summary`, or all of
today's. Whatever it carries, this machine did not train it, so it is something to look at and never a floor.
"""

from __future__ import annotations

import glob
import hashlib
import json
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from agents.errors import UsageError

Document = dict[str, Any]

RUN = ("train_tokens", "actual_steps", "seed", "configs", "commit", "device", "history")  # what makes figures a run


def read_published(arguments: Sequence[Path]) -> list[Document]:
    """Read files, folders of files and patterns that the shell left alone, each file once.

    Raises UsageError with one sentence for each file that cannot be used.
    """
    try:
        figures = _gathered(arguments, _named)
    except UsageError as error:
        raise UsageError(f"{error}\nNothing was imported.") from error
    return list({figure["path"]: figure for figure in figures}.values())


def _gathered(sources: Iterable[Path], read: Callable[[Path], list[Document]]) -> list[Document]:
    """What `read` finds in all of them; raise UsageError with every fault if there is one."""
    figures: list[Document] = []
    faults = []
    for source in sources:
        try:
            figures += read(source)
        except UsageError as error:
            faults.append(str(error))
    if faults:
        raise UsageError("\n".join(faults))
    return figures


def _named(argument: Path) -> list[Document]:
    if argument.is_dir():
        found = _gathered(_json_below(argument), _passed_over_or_read)
        if not found:
            raise UsageError(f"{argument} holds no metrics file: nothing below it is JSON with final_metrics.")
        return found
    if argument.exists() or not glob.has_magic(str(argument)):
        return [_figure(argument, *_read(argument))]
    matches = sorted(glob.glob(str(argument), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not matches:
        raise UsageError(f"{argument} matches no metrics file.")
    return _gathered(map(Path, matches), _named)


def _json_below(folder: Path) -> list[Path]:
    """Every .json in a folder and below it, but for hidden folders."""
    found = ((file, file.relative_to(folder).parts) for file in folder.rglob("*.json"))
    return sorted(file for file, parts in found if not any(part.startswith(".") for part in parts))


def _passed_over_or_read(file: Path) -> list[Document]:
    """The figure of a file that nobody named: JSON of another kind may lie beside the metrics."""
    document, sha256 = _read(file)
    return [_figure(file, document, sha256)] if document.keys() & {"final_metrics", "summary"} else []


def _read(file: Path) -> tuple[Document, str]:
    """The JSON object in a file, and the SHA-256 of its bytes. Raises UsageError."""
    try:
        content = file.read_bytes()
        document = json.loads(content)
    except FileNotFoundError:
        raise UsageError(f"{file} is no metrics file: there is no such file.") from None
    except OSError as error:
        raise UsageError(f"{file} is no metrics file that can be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is no metrics file, or a damaged one: it is not JSON ({error}).") from error
    return document if isinstance(document, dict) else {}, hashlib.sha256(content).hexdigest()


def _figure(file: Path, document: Document, sha256: str) -> Document:
    """What one file says, with `missing`: the fields that would make it a run. Raises UsageError without a val_loss."""
    final, settings = _table(document, "final_metrics"), _settings(document)
    loss = final.get("val_loss", _table(document, "summary").get("final_val_loss"))
    if loss is None:
        raise UsageError(f"{file} is no metrics file: it has no final_metrics.val_loss.")
    value = _number(loss)
    if value is None:
        raise UsageError(f"{file} gives a val_loss of {repr(loss)[:40]}, which is no figure.")
    known = {name: document.get(name) for name in RUN} | {"configs": settings}
    known["seed"] = _count(document.get("seed", settings.get("seed")))
    known["train_tokens"] = _count(document.get("train_tokens", settings.get("train_tokens")))
    losses = _table(document, "history").get("val_losses")
    return {
        "file": str(file),
        "val_loss": value,
        "path": str(file.resolve()),
        "sha256": sha256,
        "train_tokens": known["train_tokens"],
        "tokens_seen": _count(document.get("tokens_seen")),
        "seed": known["seed"],
        "train_loss": _number(final.get("train_loss")),
        "val_accuracy": _number(final.get("val_accuracy")),
        "minutes": _number(document.get("total_time_minutes")),
        "evaluations": len(losses) if isinstance(losses, list) else 0,
        "missing": [name for name in RUN if known[name] in (None, {}, [], "")],
    }


def _settings(document: Document) -> Document:
    """All settings, or those that files of March 2026 carry."""
    return _table(document, "configs") or _table(document, "experiment_config")


def _table(document: Document, name: str) -> Document:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | int | None:
    """The value if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < 1e300 and math.isfinite(value) else None


def _count(value: Any) -> int | None:
    """The value if it is a whole number, however it was written."""
    number = _number(value)
    return int(number) if number is not None and number == int(number) else None


def limits(figure: Document, preset: str, tokens: int | None) -> list[str]:
    """Say what the figure of one file cannot be used for, beside a preset that trains on so many tokens."""
    if missing := figure.get("missing", RUN):
        run = f"It is no run of a floor and cannot be paired: it does not say {', '.join(missing)}."
    else:
        run = "It says all that a run says, but this machine did not train it: it is no floor and cannot be paired."
    trained = figure.get("train_tokens")
    if trained is None:
        scale = "How many tokens it trained on is unknown."
    elif tokens is None:
        scale = f"It trained on {trained:,} tokens; there is no preset to compare them with."
    elif trained == tokens:
        scale = f"It trained on {trained:,} tokens, as preset {preset} does."
    else:
        scale = f"It trained on {trained:,} tokens and preset {preset} on {tokens:,}: the two losses do not compare."
    split = (
        "Whether its validation set is this one is unknown: corpus, tokenizer and number of tokens are not recorded."
    )
    return [run, scale, split]


def summary(figures: Sequence[Document], preset: str, tokens: int | None) -> Document:
    """Say what all figures together are good for, and group those that trained on equally many tokens.

    Files with the same bytes count once. A group's spread mixes whatever differed between its files.
    """
    distinct = list({figure.get("sha256", figure["file"]): figure for figure in figures}.values())
    losses: dict[Any, list[float]] = {}
    for figure in distinct:
        losses.setdefault(figure.get("train_tokens"), []).append(figure["val_loss"])
    groups = [_group(trained, losses[trained]) for trained in sorted(count for count in losses if count is not None)]
    incomplete = sum(bool(figure.get("missing", RUN)) for figure in figures)
    comparable = len(losses.get(tokens, [])) if tokens is not None else 0
    return {
        "n": len(figures),
        "preset": preset,
        "preset_tokens": tokens,
        "copies": len(figures) - len(distinct),
        "groups": groups,
        "can": (
            "Each figure can be looked at beside a measured floor; "
            "the n, mean, sd and range of those with equal tokens are an orientation."
        ),
        "cannot": (
            f"None is a floor and none can be paired: this machine trained none of them, and {incomplete} of "
            f"{len(figures)} do not say what a run says. "
            f"{_counted(comparable, 'was', 'were')} trained on as many tokens as preset {preset}. "
            "No file records the validation set that it was measured on: corpus, tokenizer, number of tokens. "
            "An sd holds every difference of settings, seeds and machines, so it is not the noise."
        ),
    }


def _counted(count: int, singular: str, plural: str) -> str:
    return f"{count or 'None'} {singular if count == 1 else plural}"


def _group(trained: int, losses: Sequence[float]) -> Document:
    return {
        "train_tokens": trained,
        "n": len(losses),
        "mean": statistics.fmean(losses),
        "std": statistics.stdev(losses) if len(losses) > 1 else None,
        "low": min(losses),
        "high": max(losses),
    }


def row(figure: Document, tokens: int | None) -> tuple[str, str, str, str, str]:
    """Return the figure for a person's table: file, val_loss, tokens, seed, what it does not say."""
    trained, seed = figure.get("train_tokens"), figure.get("seed")
    scale = "?" if trained is None else f"{trained:,}" + (" (the preset's)" if trained == tokens else "")
    missing = ", ".join(figure.get("missing", RUN)) or "(it says all)"
    return figure["file"], f"{figure['val_loss']:.4f}", scale, "?" if seed is None else str(seed), missing
