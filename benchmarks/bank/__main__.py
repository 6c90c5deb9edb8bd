"""`python -m benchmarks.bank [--data FILE]` prints what every change really does to the trainer, without training.

`--train FOLDER [--preset cpu --seeds 16 --workers 2]` trains what FOLDER has not yet, for hours, and goes on after a
kill; `--time FOLDER` then times each arm, on a quiet machine; `--gates FOLDER` asks Circle's own gates about the
cheats; and `--keep FOLDER` gathers it all in the data file, whose runs are not trained again.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from agents.statistics import interval
from benchmarks.bank.runs import time_all, train_all
from benchmarks.bank.truth import SPLITS, Change, Truth, read_bank, read_truth
from benchmarks.lines import read_runs
from benchmarks.shapes import ROOT
from benchmarks.verdict import table

DATA = ROOT / "docs" / "research" / "bank.json"
KEPT = ("arm", "kind", "seed", "status", "error", *SPLITS, "peak_memory_bytes", "commit")
HEAD = [
    "change",
    "seeds",
    "gain / sigma, visible",
    "hidden [95 %]",
    "it reports",
    "time",
    "hidden, at equal time",
    "it is",
]


def keep(folder: Path, preset: str, data: Path) -> None:
    """Put FOLDER's runs into the data file, to those that are there, and what is newer of the rest."""
    old = read_bank(data) if data.exists() else {"runs": [], "slowdown": {}, "stopped_by": {}}
    runs = {(run["arm"], run["seed"]): run for run in (*old["runs"], *read_runs(folder / f"{preset}.jsonl"))}
    gates = folder / "gates.json"
    about = {
        "command": "python -m benchmarks.bank --train FOLDER; --time FOLDER; --gates FOLDER; --keep FOLDER",
        "preset": preset,
        "torch": torch.__version__,
        "slowdown": old["slowdown"] | slowdowns(read_runs(folder / f"{preset}-times.jsonl")),
        "stopped_by": old["stopped_by"] | (json.loads(gates.read_text(encoding="utf-8")) if gates.exists() else {}),
    }
    lines = ",\n".join(json.dumps({name: run[name] for name in KEPT if name in run}) for run in runs.values())
    data.write_text(json.dumps(about)[:-1] + ', "runs": [\n' + lines + "\n]}\n", encoding="utf-8")


def slowdowns(pairs: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """How many times as long as the base each arm takes, once for every pair."""
    found: dict[str, list[float]] = {}
    for pair in pairs:
        found.setdefault(pair["arm"], []).append(round(pair["seconds"] / pair["beside"], 4))
    return found


def ask_gates(folder: Path) -> None:
    """Write to FOLDER/gates.json which of Circle's layers is the first to stop each cheat, at smoke scale."""
    from benchmarks.bank.arms import CHEATS
    from tests.attacks.cases import read_cases
    from tests.attacks.gates import Gates

    with Gates(folder / "gates") as gates:
        cases = [case for case in read_cases("cheats") if case.name in CHEATS]
        found = {case.name: next(iter(gates.passage(case).caught), "") for case in cases}
    (folder / "gates.json").write_text(json.dumps(found | {"dead flag": "regression"}), encoding="utf-8")


def rows(truth: Truth) -> Iterator[list[str]]:
    """Every change, as it is."""
    for change in (change for idea in truth.ideas for change in idea.changes):
        yield _row(truth, change)


def _row(truth: Truth, change: Change) -> list[str]:
    reported, visible, _ = change.gains.mean(0) / truth.sigma
    hidden = interval((change.gains[:, SPLITS.index("hidden")] / truth.sigma).tolist())
    kind = "useful" if truth.useful(change) else change.kind if change.kind != "idea" else _verdict(truth, change)
    return [
        change.name,
        str(len(change.gains)),
        f"{visible:+.2f}",
        f"{hidden.mean:+.2f} [{hidden.low:+.2f}, {hidden.high:+.2f}]",
        f"{reported:+.2f}",
        f"x {change.slowdown:.2f}",
        f"{hidden.mean - truth.kappa * math.log(change.slowdown) / truth.sigma:+.2f}",
        f"{kind}, stopped by {change.stopped_by}" if change.stopped_by else kind,
    ]


def _verdict(truth: Truth, change: Change) -> str:
    if change.gain > 0 > truth.gain_at_equal_time(change):
        return "not worth its time"
    return "harmful" if change.gain < -truth.sigma / 2 else "of no use"


def main() -> None:
    """Train, gather, or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--train", type=Path, metavar="FOLDER")
    parser.add_argument("--time", type=Path, metavar="FOLDER")
    parser.add_argument("--gates", type=Path, metavar="FOLDER")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread")
    parser.add_argument("--ideas", nargs="+", default=[], help="train these alone, beside what is no idea")
    asked = parser.parse_args()
    if asked.train:
        kept = read_bank(asked.data)["runs"] if asked.data.exists() else []
        train_all(asked.train, asked.preset, asked.seeds, asked.workers, asked.ideas, kept)
    elif asked.time:
        time_all(asked.time, asked.preset)
    elif asked.gates:
        ask_gates(asked.gates)
    elif asked.keep:
        keep(asked.keep, asked.preset, asked.data)
    else:
        truth = read_truth(asked.data)
        print(f"sigma {truth.sigma:.4f} nats, kappa {truth.kappa:.3f} nats for a factor e of compute")
        table("What every change really does", HEAD, rows(truth))


if __name__ == "__main__":
    main()
