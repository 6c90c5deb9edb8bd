"""`python -m benchmarks.noise [--data FILE] [--figure FILE]` prints every table of the noise study, without training.

`--train FOLDER --preset NAME --seeds N` trains what FOLDER/NAME.jsonl has not yet, for hours; `--keep FOLDER` then
gathers FOLDER's runs in the data file. A killed training goes on where it was, and its runs can be kept before.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch

from agents.statistics import BOUNDARIES
from benchmarks.lines import read_runs
from benchmarks.noise.arms import ARMS, SHARES
from benchmarks.noise.figure import draw
from benchmarks.noise.rules import GAINS, false_wins, power
from benchmarks.noise.runs import tasks, train_all
from benchmarks.noise.savings import averages, banks, controls, larger
from benchmarks.noise.study import Study, noise, pairing, read_studies, write_compact
from benchmarks.shapes import ROOT
from benchmarks.verdict import table
from trainer.config import PRESETS

DATA = ROOT / "docs" / "research" / "noise.json"


def train(folder: Path, preset: str, seeds: int, workers: int) -> None:
    """Trains what is missing of FOLDER/<preset>.jsonl, on data prepared in FOLDER/data-<preset>."""
    data = folder / f"data-{preset}"
    if not data.exists():
        command = [sys.executable, "-m", "trainer.data", "--preset", preset, "--output", str(data.resolve())]
        subprocess.run(command, cwd=ROOT, check=True)
    trained = train_all(folder / f"{preset}.jsonl", tasks(preset, seeds, data), workers)
    print(f"{trained} runs were missing; python -m benchmarks.noise --keep {folder}")


def keep(folder: Path, data: Path) -> None:
    """Gathers the runs of FOLDER/*.jsonl in the data file."""
    runs = [run for path in sorted(folder.glob("*.jsonl")) for run in read_runs(path)]
    about = {
        "command": "python -m benchmarks.noise --train FOLDER --preset NAME; python -m benchmarks.noise --keep FOLDER",
        "torch": torch.__version__,
        "dtype": sorted({run["dtype"] for run in runs}),
        "averaged over the last": SHARES,
        "steps": {name: PRESETS[name].steps for name in sorted({run["preset"] for run in runs})},
    }
    write_compact(data, runs, about)


def report(studies: list[Study], sessions: int) -> None:
    """Every table."""
    head = ["preset", "split", "seeds", "mean", "sd [95 %]", "skewness", "Shapiro p", "worst seed"]
    table("Noise of the base, by the seed alone", head, noise(studies))
    head = ["preset", "arm", "pairs", "gain / sigma [95 %]", "sd of a paired gain / sigma", "rho", "runs saved"]
    table("Pairs: what an arm shares with the base of the same seed, hidden split", head, pairing(studies))
    cases = [f"{study.preset}, {kind}" for study in studies for kind in ("unpaired", "paired")]
    table(f"False victories an idea, {sessions} sessions", ["rule", *cases], false_wins(studies, sessions))
    head = ["preset", "arms", *(f"{gain:g} sigma" for gain in GAINS)]
    table("Circle's rule: power / mean runs after the floor", head, power(studies, sessions // 4))
    head = [
        "preset",
        "arm",
        "pairs",
        "share of the finite split",
        "by its stretches",
        "variance at 2x, measured",
        "at 4x, expected",
    ]
    table("A larger validation set: variance of a paired gain", head, larger(studies))
    head = ["preset", "arm", "last", "loss", "variance of the gain", "gain", "runs at equal power"]
    table("Averaged late weights against the last ones", head, averages(studies))
    head = ["preset", "covariate", "slope", "variance left, twins"]
    for arm in ("decay", "rope"):
        head += [f"{arm}: variance", f"{arm}: gain"]
    table("Control variates from the paired curves", head, controls(studies))
    head = ["preset", "arm", "rho", *(f"{look.n} pairs" for look in BOUNDARIES["standard"])]
    table("Regression on a bank of baselines: variance of the mean gain", head, banks(studies))


def main(argv: list[str] | None = None) -> None:
    """Trains, gathers, or prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noise", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--sessions", type=int, default=20_000, help="drawn for each rule")
    parser.add_argument("--figure", type=Path, help="draw the differences in this SVG file")
    parser.add_argument("--train", type=Path, metavar="FOLDER")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    parser.add_argument("--preset", choices=["cpu", "smoke"], default="cpu")
    parser.add_argument("--seeds", type=int, default=60, help=f"of the arms {', '.join(ARMS)}; some at every third")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread")
    asked = parser.parse_args(argv)
    if asked.train:
        train(asked.train, asked.preset, asked.seeds, asked.workers)
    elif asked.keep:
        keep(asked.keep, asked.data)
    else:
        studies = read_studies(asked.data)
        if asked.figure:
            draw(studies, asked.figure)
        report(studies, asked.sessions)


if __name__ == "__main__":
    main()
