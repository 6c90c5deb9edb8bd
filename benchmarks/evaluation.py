"""What the trusted evaluation of one run costs, on one core while the others are busy.

    python -m benchmarks.evaluation [--preset cpu] [--repeats 5] [--run_seconds 20]

It prepares the preset's data, trains a short run, and evaluates its visible split. The program's own rows are whole
evaluations; those above them are its parts, each measured alone. Of each figure the smallest of the repeats counts.
CPU seconds are user and system time of all processes; those inside the sandbox end with it and cannot be read
afterwards, so that CPU time is that of the same program without one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.evaluation.scoring import cross_entropy
from agents.laboratory.sandbox import choose
from agents.settings import Preset, Target, load_target

ROOT = Path(__file__).resolve().parent.parent
SERVED = """
import gc, sys, time
gc.disable()
clock = time.process_time
def lap(name):
    global last
    print(name, clock() - last)
    last = clock()
last = clock()
import torch
lap("model's process: torch")
from pathlib import Path
from agents.evaluation.server import load
tree, name, run, blocks, batch, length, vocabulary = sys.argv[1:]
model = load(name, Path(run), Path(tree))
lap("model's process: code and weights")
tokens = torch.randint(int(vocabulary), (int(batch), int(length)))
memory = torch.zeros(int(batch), int(length), int(vocabulary))
with torch.no_grad():
    for _ in range(int(blocks)):
        logits = model(tokens)
    lap("model's process: forward")
    for _ in range(int(blocks)):
        memory.copy_(logits)
    lap("model's process: logits into shared memory")
"""


@dataclass(frozen=True)
class Bench:
    """A tree, its data and one run, and how the evaluator is asked about them."""

    target: Target
    preset: Preset
    vocabulary: int
    tree: Path
    data: Path
    run: Path

    def evaluator(self, *options: str) -> list[str]:
        """Return the command that evaluates the visible split."""
        evaluation, weights = self.target.evaluation, self.target.metric.weights
        command = [sys.executable, "-P", "-m", "agents.evaluation", "--tree", str(self.tree), "--run", str(self.run)]
        command += ["--weights", weights, "--settings", evaluation.settings, "--model", evaluation.model]
        command += ["--vocabulary", str(self.vocabulary), "--sequence_length", str(self.preset.sequence_length)]
        return [*command, "--tokens", f"visible={self.data / evaluation.tokens['visible']}", *options]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--run_seconds", type=float, default=20.0, help="the run that the shares are of")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = prepare(Path(folder), arguments.preset)
        print(f"| {arguments.preset} | CPU, s | wall, s | share of a run of {arguments.run_seconds:g} s |")
        print("|---|---|---|---|")
        with others_busy():
            for name, cpu, wall in measure(bench, arguments.repeats):
                share = (wall or cpu or 0.0) / arguments.run_seconds
                print(f"| {name} | {_seconds(cpu)} | {_seconds(wall)} | {share:.1%} |", flush=True)


def prepare(folder: Path, preset: str) -> Bench:
    """Clone the repository, prepare the preset's data, and train its short run."""
    tree, data, run = folder / "tree", folder / "data", folder / "run"
    target = load_target(ROOT)
    scale = target.scale(preset)
    subprocess.run(["git", "clone", "-q", str(ROOT), str(tree)], check=True)
    values = {"python": sys.executable, "preset": preset, "data": str(data), "output": str(run), "seed": "1"}
    values["train_tokens"] = str(scale.short_tokens)
    for command in (target.data.prepare, target.train.command):
        filled = [part.format_map(values) for part in command]
        subprocess.run(filled, cwd=tree, check=True, stdout=subprocess.DEVNULL)
    name, _, field = target.evaluation.vocabulary.partition(":")
    return Bench(target, scale, json.loads((data / name).read_text())[field], tree, data, run)


@contextmanager
def others_busy() -> Iterator[None]:
    """Keep to one core, and every other core busy."""
    mine, *others = sorted(os.sched_getaffinity(0))
    spin = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
    spinning = [subprocess.Popen([sys.executable, "-c", spin, str(core)]) for core in others]
    os.sched_setaffinity(0, {mine})
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def measure(bench: Bench, repeats: int) -> Iterator[tuple[str, float | None, float | None]]:
    """Yield what is measured, its CPU seconds and its wall seconds."""
    length, vocabulary = bench.preset.sequence_length, bench.vocabulary
    batch = max(1, (1 << 24) // (4 * length * vocabulary))
    windows = (bench.data / bench.target.evaluation.tokens["visible"]).stat().st_size // 2 // length
    blocks = -(-windows // batch)
    python = [sys.executable, "-P", "-c"]
    cpu, wall = smallest(repeats, lambda: call([*python, "import agents.evaluation.__main__"]))
    yield "scorer: Python and numpy", cpu, wall
    sandbox, nothing = choose(unprotected=False), [sys.executable, "-I", "-S", "-c", ""]
    wrapped = sandbox.wrap(nothing, cwd=Path("/"))
    cpu, wall = smallest(repeats, lambda: call(wrapped))
    yield "sandbox: one start, with Python", cpu, wall
    sizes = map(str, (blocks, batch, length, vocabulary))
    served = [*python, SERVED, str(bench.tree), bench.target.evaluation.model, str(bench.run), *sizes]
    laps: dict[str, list[float]] = {}
    for _ in range(repeats):
        done = subprocess.run(served, env=environment(), check=True, capture_output=True, text=True)
        for line in done.stdout.splitlines():
            name, _, seconds = line.rpartition(" ")
            laps.setdefault(name, []).append(float(seconds))
    yield from ((name, min(seconds), None) for name, seconds in laps.items())
    yield "scorer: softmax and loss", blocks * score(batch * length, vocabulary, repeats), None
    yield "**one evaluation**", *whole(bench, repeats)
    yield "**one evaluation with the checks**", *whole(bench, repeats, "--checks")


def whole(bench: Bench, repeats: int, *options: str) -> tuple[float, float]:
    """Return the CPU seconds of the program without a sandbox and its wall seconds in one."""
    cpu, _ = smallest(repeats, lambda: call(bench.evaluator(*options, "--sandbox", "none")))
    _, wall = smallest(repeats, lambda: call(bench.evaluator(*options)))
    return cpu, wall


def score(rows: int, vocabulary: int, repeats: int) -> float:
    """Return the CPU seconds of the loss of one block."""
    chance = np.random.default_rng(0)
    logits = chance.normal(size=(rows, vocabulary)).astype(np.float32)
    targets = chance.integers(vocabulary, size=rows)
    seconds = []
    for _ in range(5 * repeats):
        started = time.process_time()
        cross_entropy(logits, targets)
        seconds.append(time.process_time() - started)
    return min(seconds)


def smallest(repeats: int, measured: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    """Return the smallest CPU and the smallest wall seconds of so many calls."""
    cpu, wall = zip(*(measured() for _ in range(repeats)), strict=True)
    return min(cpu), min(wall)


def call(command: Sequence[str]) -> tuple[float, float]:
    """Run a command and return its CPU seconds, with those of its children, and its wall seconds."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(list(command), env=environment(), check=True, stdout=subprocess.DEVNULL)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def environment() -> dict[str, str]:
    """Return the laboratory's: one thread."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": str(ROOT)}


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
