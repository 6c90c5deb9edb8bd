"""A session as its page shows it while it runs: where it stands, curves, pairs, the proof, the budget, the log's tail.

Every number is from the journal and the checkpoint. What the hidden split says of a version that has not won is left
out until the session has ended, as everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from os import SEEK_END
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from agents.laboratory.watcher import orphans
from agents.plain_text import plain, visible
from agents.records import Run, Spend
from agents.session import Opened
from agents.show import document
from agents.statistics import BOUNDARIES, gain
from agents.web.spending import spent
from agents.web.words import duration

_POINTS, _TAIL_LINES, _TAIL_BYTES = 300, 12, 8_000
_FIRST_NODE = "baseline"


def view(opened: Opened, failed: str = "") -> dict[str, Any]:
    """Return what the page draws, as JSON-plain values; a number that is not finite is None.

    `failed` is what the command said that the page started for it and that ended with an error.
    """
    shown = document(opened)
    with opened.journal() as journal:
        steps = journal.bodies("step")
        runs = [Run.model_validate(body) for body in journal.bodies("run").values()]
    shown["spend"] |= spent(opened, Spend.model_validate(shown["spend"])).model_dump()
    last = next(reversed(steps.values()), None)
    newest = next((version for version in reversed(shown["versions"]) if version["commit"]), None)
    told: dict[str, Any] = _shown(
        {
            "id": shown["id"],
            "status": shown["status"],
            "idea": shown["idea"],
            "error": shown["error"],
            "conclusion": shown["conclusion"],
            "held": shown["held"],
            "stopping": shown["status"] == "running" and opened.stop_file.exists(),
            "said": failed if shown["status"] == "stopped" else "",
            "left": shown["status"] in ("stopped", "failed") and bool(orphans(opened.folder)),
            "victory": shown["victory"],
            "node": _node(last),
            "versions": [_version(version) for version in shown["versions"]],
            "budget": _budget(shown),
            "spend": shown["spend"],
            "curves": _curves(shown["baseline"], runs, newest),
            "pairs": _pairs(shown, runs, newest),
            "proof": _proof(opened, shown, runs, newest),
            "tail": _tail(opened.folder / "runs") if shown["status"] == "running" else [],
        }
    )
    return told


def _node(last: dict[str, Any] | None) -> str:
    """The node that a session is at, or ended with."""
    return _FIRST_NODE if last is None else ", ".join(last["next"]) or str(last["node"])


def stamp(opened: Opened) -> tuple[Any, ...]:
    """Return what changes whenever the page may have something new to show."""
    files = [opened.folder / name for name in ("journal.sqlite", "journal.sqlite-wal", "summary.json")]
    times = [file.stat().st_mtime_ns if file.exists() else 0 for file in files]
    return (*times, opened.is_busy, opened.stop_file.exists(), _newest_log(opened.folder / "runs"))


def _newest_log(runs: Path) -> tuple[int, Path] | None:
    """When the log of a run was last written to, and which: never an evaluation's, which tells of the hidden split.

    A run that ends meanwhile takes its log away.
    """
    logs = []
    for file in runs.glob("*.log"):
        with suppress(FileNotFoundError):
            if "." not in file.stem and (found := file.stat()).st_size:
                logs.append((found.st_mtime_ns, file))
    return max(logs, default=None)


def _version(version: dict[str, Any]) -> dict[str, Any]:
    experiment, verdict = version["experiment"] or {}, version["verdict"] or {}
    named = ("effect", "ci", "visible_effect", "visible_effect_ci", "equal_time_effect", "speed_ratio", "memory_ratio")
    return {
        "n": version["n"],
        "title": version["plan"]["title"],
        "flags": version["flags"],
        "decision": (version["approval"] or {}).get("decision"),
        "gate": (version["regression"] or {}).get("reason"),
        "ended": experiment.get("ended"),
        "outcome": verdict.get("outcome"),
        "cause": verdict.get("cause"),
        "finding": verdict.get("finding"),
        "next": (version["revision"] or {}).get("change"),
        "hidden": bool(experiment) and experiment.get("effect") is None and experiment.get("ended") == "confirmed",
        **{name: experiment.get(name) for name in named},
    }


def _budget(shown: dict[str, Any]) -> list[dict[str, Any]]:
    """What was used of each limit, as numbers and in words; what is neither used nor limited is left out."""
    spend, limits = shown["spend"], shown["budget"]
    time = "time by the last step" if shown["status"] == "running" else "time"
    hours, tokens = limits["max_hours"], spend["input_tokens"] + spend["output_tokens"]
    used: list[tuple[str, float, float | None, Callable[[float], str]]] = [
        ("versions", len(shown["versions"]), limits["max_versions"], "{:,}".format),
        ("runs", spend["runs"], limits["max_runs"], "{:,}".format),
        (time, spend["wall_seconds"], hours and 3600 * hours, duration),
        ("US dollars", spend["usd"], limits["max_usd"], "{:,.2f}".format),
        ("model tokens", tokens, limits["max_tokens"], "{:,}".format),
    ]
    told = [(name, value, limit, say) for name, value, limit, say in used if value or limit]
    return [
        {"name": name, "used": value, "limit": limit, "said": say(value) + (f" of {say(limit)}" if limit else "")}
        for name, value, limit, say in told
    ]


def _curves(floor: dict[str, Any] | None, runs: Sequence[Run], version: dict[str, Any] | None) -> dict[str, Any]:
    """Training losses: the floor's runs, and the newest version's on the same seeds; each seed's, and means."""
    old = [Run.model_validate(run) for run in floor["runs"]] if floor else [r for r in runs if r.stage == "floor"]
    new = [run for run in runs if version and run.commit == version["commit"] and run.stage == "screen"]
    return {"version": version and version["n"], "baseline": _together(old), "experiment": _together(new)}


def _together(runs: Sequence[Run]) -> dict[str, Any]:
    """The steps that all of these runs told of, each one's losses there, their mean and standard deviation."""
    told = [run for run in runs if run.loss_steps]
    count = min((min(len(run.loss_steps), len(run.losses)) for run in told), default=0)
    places = range(0, count, max(1, math.ceil(count / _POINTS)))
    seeds = [{"seed": run.seed, "losses": [run.losses[place] for place in places]} for run in told]
    columns = list(zip(*(seed["losses"] for seed in seeds), strict=True))
    return {
        "steps": [told[0].loss_steps[place] for place in places] if told else [],
        "seeds": seeds,
        "mean": [fmean(column) for column in columns],
        "std": [stdev(column) if len(column) > 1 else 0.0 for column in columns],
    }


def _pairs(shown: dict[str, Any], runs: Sequence[Run], version: dict[str, Any] | None) -> dict[str, Any]:
    """Every pair's gain that may be shown, in the order of the runs, and how many may not yet."""
    floor, found = shown["baseline"], []
    if not floor or not version:
        return {"sigma": None, "metric": "", "points": [], "hidden": 0}
    recorded = (version["experiment"] or {}).get("pairs") or _screened(runs, floor, version)
    for pair in recorded:
        if pair["baseline"] is not None and pair["experiment"] is not None:
            better = gain(pair["baseline"], pair["experiment"], floor["direction"])
            found.append({"stage": pair["stage"], "seed": pair["seed"], "gain": better})
    return {"sigma": floor["std"], "metric": floor["metric"], "points": found, "hidden": len(recorded) - len(found)}


def _screened(runs: Sequence[Run], floor: dict[str, Any], version: dict[str, Any]) -> list[dict[str, Any]]:
    """The pairs of a screen that goes on, of the visible split."""
    known = {run["seed"]: run["visible"] for run in floor["runs"]}
    new = [run for run in runs if run.commit == version["commit"] and run.stage == "screen"]
    return [
        {"stage": "screen", "seed": run.seed, "baseline": known.get(run.seed), "experiment": run.visible} for run in new
    ]


def _proof(
    opened: Opened, shown: dict[str, Any], runs: Sequence[Run], version: dict[str, Any] | None
) -> dict[str, Any] | None:
    """T after each pair beside the boundaries of the looks; while it is hidden, only how many pairs are done."""
    looks = [{"n": look.n, "win": look.win, "stop": look.stop} for look in BOUNDARIES[opened.session.confidence]]
    if not version or not shown["baseline"]:
        return None
    here = [run for run in runs if run.commit == version["commit"] and run.stage == "confirm"]
    if not here:
        return None
    pairs = [pair for pair in (version["experiment"] or {}).get("pairs", []) if pair["stage"] == "confirm"]
    direction = shown["baseline"]["direction"]
    gains = [
        gain(pair["baseline"], pair["experiment"], direction)
        for pair in pairs
        if pair["baseline"] is not None and pair["experiment"] is not None
    ]
    told = [{"n": n, "t": _t(gains[:n])} for n in range(2, len(gains) + 1)]
    return {"looks": looks, "done": len(here), "told": told}


def _t(gains: Sequence[float]) -> float:
    spread = stdev(gains)
    return fmean(gains) * math.sqrt(len(gains)) / spread if spread else math.inf


def _tail(runs: Path) -> list[str]:
    """The last lines of the log that was written to last."""
    newest, text = _newest_log(runs), ""
    with suppress(FileNotFoundError):
        if newest:
            with newest[1].open("rb") as file:
                file.seek(max(0, file.seek(0, SEEK_END) - _TAIL_BYTES))
                text = file.read().decode(errors="replace")
    return [plain(line, 200) for line in text.splitlines()[-_TAIL_LINES:]]


def _shown(value: Any) -> Any:
    """A value without numbers that are none, and without characters that act."""
    if isinstance(value, dict):
        return {name: _shown(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(part) for part in value]
    if isinstance(value, str):
        return visible(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
