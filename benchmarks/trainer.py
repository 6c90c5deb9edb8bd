"""This trainer and a peer, side by side: the same architecture, tokens, order and threads, in alternating runs.

    python -m benchmarks.trainer [--preset NAME] [--sizes preset,1M,3M,10M] [--dtypes float32,bfloat16]
                                 [--peer PATH] [--rounds N] [--threads N] [--train_tokens N] [--data DIR] [--json]

Every run is a whole command in a process of its own; rounds go ours, peer, peer, ours, so that a drifting machine
favours neither, and each has a seed of its own. Figures count from the line of the first step to the end of the
command: data, evaluations, logging, optimizer and checkpoint included; the steps alone stand beside them.

The peer is benchmarks/peer.py unless `--peer` names another:
- a Python file that takes the flags of train_llm.py (another checkout's train_llm.py does), prints `step 1/` after its
  first step and, last, `metrics FILE`, a JSON file with `final_metrics.val_loss`, `final_metrics.train_loss`,
  `tokens_seen` and `active_training_time_seconds` (of all steps, without evaluations);
- or the folder of a nanoGPT checkout (benchmarks/nanogpt.py says how it is run).
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import nanogpt
from benchmarks.shapes import (
    FORMULA,
    PRESET,
    ROOT,
    SIZES,
    block_parameters,
    configs_of,
    flags_of,
    flops_per_token,
    prepare_data,
)
from benchmarks.watched import CommandFailed, Watched, watch
from trainer.config import PRESETS, Configs

OURS, PEER = ROOT / "train_llm.py", ROOT / "benchmarks" / "peer.py"
NOISE = 0.02  # nats: twice the sd of the cpu preset's val_loss over seeds, as `circle baseline` measures it

RATIOS = ("tokens_per_second", "steps_tokens_per_second", "peak_memory_bytes", "start_up_seconds", "wall_seconds")
RATIO_HEAD = ("size", "dtype", "tokens/s", "steps alone", "memory", "start-up", "wall", "train_loss", "val_loss")
SIDE_HEAD = (
    *("size", "dtype", "side", "tokens/s", "GFLOP/s", "of fp32 peak", "of bf16 peak", "steps alone, tokens/s"),
    *("steps alone, GFLOP/s", "memory, MB", "start-up, s", "wall, s", "train_loss", "val_loss"),
)


@dataclass(frozen=True)
class Side:
    """One run of one side. Rates are tokens a second, FLOP/s and shares of the same process's peaks, end to end."""

    tokens_per_second: float
    steps_tokens_per_second: float
    flops_per_second: float
    peak_shares: dict[str, float]
    peak_memory_bytes: int
    start_up_seconds: float
    wall_seconds: float
    train_loss: float
    val_loss: float


Run = Callable[[Configs, Path], Side]


@dataclass(frozen=True)
class Comparison:
    """All rounds of one size in one precision, in the order of their seeds."""

    size: str
    dtype: str
    configs: Configs
    ours: list[Side]
    peer: list[Side]
    same_recipe: bool

    def ratios(self, name: str) -> list[float]:
        """Ours over the peer's, round by round."""
        return [getattr(a, name) / getattr(b, name) for a, b in zip(self.ours, self.peer, strict=True)]

    def differences(self, name: str) -> list[float]:
        """Ours less the peer's, round by round."""
        return [getattr(a, name) - getattr(b, name) for a, b in zip(self.ours, self.peer, strict=True)]

    @property
    def equal_loss(self) -> bool | None:
        """Whether both final losses agree within the noise; None between different recipes."""
        means = [abs(statistics.fmean(self.differences(name))) for name in ("train_loss", "val_loss")]
        return max(means) <= NOISE if self.same_recipe else None

    def document(self) -> dict[str, Any]:
        """For --json."""
        return {
            **{name: getattr(self, name) for name in ("size", "dtype", "same_recipe", "equal_loss")},
            "configs": asdict(self.configs),
            "block_parameters": block_parameters(self.configs),
            "flops_per_token": flops_per_token(self.configs),
            "ours": [asdict(side) for side in self.ours],
            "peer": [asdict(side) for side in self.peer],
            "ratio": {name: statistics.geometric_mean(self.ratios(name)) for name in RATIOS},
        }


def run_script(script: Path) -> Run:
    """How a script with the flags and the metrics of train_llm.py is run."""

    def run(configs: Configs, folder: Path) -> Side:
        flags = flags_of("cpu", replace(configs, output_dir=str(folder)))
        watched = watch(script, flags, threads=configs.threads, cwd=folder)
        metrics = json.loads((folder / watched.lines[-1].removeprefix("metrics ")).read_text(encoding="utf-8"))
        seconds = metrics["active_training_time_seconds"]
        losses = metrics["final_metrics"]
        return side(configs, watched, metrics["tokens_seen"], metrics["tokens_seen"] / seconds, losses)

    return run


def run_nanogpt(checkout: Path) -> Run:
    """How a checkout of nanoGPT is run."""

    def run(configs: Configs, folder: Path) -> Side:
        trained = nanogpt.train(checkout, configs, folder)
        losses = {"train_loss": trained.train_loss, "val_loss": trained.val_loss}
        return side(configs, trained.watched, trained.tokens, configs.tokens_per_step / trained.step, losses)

    return run


def side(configs: Configs, watched: Watched, tokens: int, steps_rate: float, losses: dict[str, float]) -> Side:
    """The figures of a run; the first step's tokens were spent before the clock starts."""
    rate = (tokens - configs.tokens_per_step) / watched.seconds
    flops = rate * flops_per_token(configs)
    return Side(
        tokens_per_second=rate,
        steps_tokens_per_second=steps_rate,
        flops_per_second=flops,
        peak_shares={dtype: flops / peak for dtype, peak in watched.peaks.items()},
        peak_memory_bytes=watched.peak_memory_bytes,
        start_up_seconds=watched.start_up,
        wall_seconds=watched.wall,
        train_loss=losses["train_loss"],
        val_loss=losses["val_loss"],
    )


def compare(size: str, configs: Configs, peer: Path, rounds: int) -> Comparison:
    """Both sides in alternating order, each run in a folder of its own. Raises CommandFailed."""
    foreign = nanogpt.is_checkout(peer)
    ours, theirs = run_script(OURS), run_nanogpt(peer) if foreign else run_script(peer)
    sides: dict[Run, list[Side]] = {ours: [], theirs: []}
    for number in range(rounds):
        seeded = replace(configs, seed=configs.seed + number)
        for run in (ours, theirs) if number % 2 == 0 else (theirs, ours):
            with tempfile.TemporaryDirectory() as folder:
                sides[run].append(run(seeded, Path(folder)))
    return Comparison(size, configs.dtype, configs, sides[ours], sides[theirs], not foreign)


def comparisons(arguments: argparse.Namespace, scratch: Path) -> Iterable[Comparison]:
    """One for every size and precision that was asked for."""
    for size in arguments.sizes:
        configs = configs_of(arguments.preset, size, arguments.train_tokens)
        data = prepare_data(scratch, configs)
        for dtype in arguments.dtypes:
            chosen = replace(configs, dtype=dtype, threads=arguments.threads, data_dir=str(data))
            found = compare(size, chosen, arguments.peer, arguments.rounds)
            print(
                f"{size} {dtype}: ours / peer {spread(found.ratios('tokens_per_second'))}", file=sys.stderr, flush=True
            )
            yield found


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The geometric mean of ratios, and their range where there are several."""
    mean = f"{statistics.geometric_mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def side_row(found: Comparison, name: str, sides: Sequence[Side]) -> list[str]:
    """One side's means over the rounds."""
    mean = {key: statistics.fmean(getattr(s, key) for s in sides) for key in vars(sides[0]) if key != "peak_shares"}
    shares = {key: statistics.fmean(s.peak_shares[key] for s in sides) for key in sides[0].peak_shares}
    per_token = flops_per_token(found.configs)
    return [
        found.size,
        found.dtype,
        name,
        f"{mean['tokens_per_second']:,.0f}",
        f"{mean['flops_per_second'] / 1e9:.1f}",
        *(f"{shares[key]:.0%}" if key in shares else "" for key in ("float32", "bfloat16")),
        f"{mean['steps_tokens_per_second']:,.0f}",
        f"{mean['steps_tokens_per_second'] * per_token / 1e9:.1f}",
        f"{mean['peak_memory_bytes'] / 1e6:.0f}",
        f"{mean['start_up_seconds']:.2f}",
        f"{mean['wall_seconds']:.1f}",
        f"{mean['train_loss']:.4f}",
        f"{mean['val_loss']:.4f}",
    ]


def ratio_row(found: Comparison) -> list[str]:
    """Ours over the peer's."""
    losses = [f"{statistics.fmean(found.differences(name)):+.4f}" for name in ("train_loss", "val_loss")]
    equal = {True: "yes", False: "NO", None: "other recipe"}[found.equal_loss]
    return [found.size, found.dtype, *(spread(found.ratios(name)) for name in RATIOS), *losses, equal]


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print one Markdown table."""
    print(f"\n### {title}\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def report(found: Sequence[Comparison], peer: Path, threads: int) -> None:
    """Print both tables, with what the figures mean."""
    print(f"{FORMULA}.\nPeer: {peer}; threads: {threads}. Every share is of the same process's own peak.")
    rows = [side_row(one, name, getattr(one, name)) for one in found for name in ("ours", "peer")]
    table("Each side, end to end (means of the rounds)", SIDE_HEAD, rows)
    table("Ours / peer, losses ours - peer", (*RATIO_HEAD, f"equal within {NOISE}"), map(ratio_row, found))


@contextlib.contextmanager
def data_folder(kept: Path | None) -> Iterator[Path]:
    """The folder for prepared data: one that is kept, or one that goes with the benchmark."""
    if kept is None:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    else:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()


def words(text: str) -> list[str]:
    """A comma-separated option."""
    return [word for word in text.split(",") if word]


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the program with code 2 where it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trainer", description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--sizes", type=words, help=f"of {', '.join((PRESET, *SIZES))} (default: {PRESET})")
    parser.add_argument("--dtypes", type=words, default=["float32", "bfloat16"])
    parser.add_argument("--peer", type=Path, default=PEER, help="a Python file, or a nanoGPT checkout")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of every run, ours and the peer's")
    parser.add_argument("--train_tokens", type=int, help="of every run (default: the preset's, or some seconds' worth)")
    parser.add_argument("--data", type=Path, help="a folder that keeps prepared data for the next time")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    arguments = parser.parse_args(argv)
    foreign = nanogpt.is_checkout(arguments.peer)
    arguments.sizes = arguments.sizes or ["nanogpt" if foreign else PRESET]
    if unknown := [size for size in arguments.sizes if size not in (PRESET, *SIZES)]:
        parser.error(f"there is no size {unknown[0]!r}; there are: {', '.join((PRESET, *SIZES))}")
    if not foreign and not arguments.peer.is_file():
        parser.error(f"{arguments.peer} is neither a Python file nor a nanoGPT checkout")
    if arguments.rounds < 1 or arguments.threads < 1:
        parser.error("--rounds and --threads are 1 or more")
    arguments.peer = arguments.peer.resolve()
    return arguments


def main(argv: Sequence[str]) -> int:
    """Measure and print; 1 after a command that failed, told with its last words."""
    arguments = parse(argv)
    try:
        with data_folder(arguments.data) as scratch:
            found = list(comparisons(arguments, scratch))
    except CommandFailed as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.json:
        about = {"formula": FORMULA, "peer": str(arguments.peer), "threads": arguments.threads, "noise": NOISE}
        print(json.dumps(about | {"comparisons": [one.document() for one in found]}, indent=1))
    else:
        report(found, arguments.peer, arguments.threads)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
