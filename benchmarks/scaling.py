"""Time and memory of the trainer against tokens, against parameters, and against runs side by side.

    python -m benchmarks.scaling [--preset NAME] [--dtype float32|bfloat16] [--rounds N] [--tokens N,N,…]
                                 [--sizes preset,1M,3M,10M] [--side_by_side RUNSxTHREADS,…]
                                 [--data DIR] [--figure FILE] [--json]

Each row is a number of whole commands at once, each a process of its own; its figures are the medians of the rounds,
which take the rows in turn, up and down. `--figure` draws the three series as SVG or PNG.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.shapes import PRESET, SIZES, block_parameters, configs_of, flags_of, prepare_data
from benchmarks.trainer import OURS, data_folder, table, words
from benchmarks.watched import CommandFailed, Watched, watch
from trainer.config import PRESETS, Configs

HEAD = (
    *("series", "run", "runs at once", "threads each", "tokens each", "block parameters", "wall, s", "start-up, s"),
    *("tokens/s each", "tokens/s together", "memory each, MB", "memory together, MB"),
)


@dataclass(frozen=True)
class Row:
    """What is measured: so many equal runs at once."""

    series: str
    name: str
    configs: Configs
    runs: int = 1


@dataclass(frozen=True)
class Point:
    """Medians over the rounds; seconds are those of the slowest run, rates count from the first step's line."""

    series: str
    name: str
    runs: int
    threads: int
    tokens: int
    block_parameters: int
    wall_seconds: float
    start_up_seconds: float
    tokens_per_second: float
    peak_memory_bytes: float

    @property
    def throughput(self) -> float:
        """Tokens of all runs over the wall time of the slowest: what many short runs get done."""
        return self.runs * self.tokens / self.wall_seconds


def rows_of(arguments: argparse.Namespace, scratch: Path) -> list[Row]:
    """The three series."""

    def configs(size: str, tokens: int | None, threads: int) -> Configs:
        shaped = configs_of(arguments.preset, size, tokens)
        data = prepare_data(scratch, shaped)
        return replace(shaped, dtype=arguments.dtype, threads=threads, data_dir=str(data))

    most = arguments.tokens[-1]
    return [
        *(Row("tokens", f"{n:,}", configs(PRESET, n, 1)) for n in arguments.tokens),
        *(Row("parameters", size, configs(size, None if size != PRESET else most, 1)) for size in arguments.sizes),
        *(
            Row("side by side", f"{runs} x {threads} threads", configs(PRESET, most, threads), runs)
            for runs, threads in arguments.side_by_side
        ),
    ]


def at_once(row: Row) -> list[Watched]:
    """Start the row's runs together and wait for all. Raises CommandFailed."""

    def run(number: int) -> Watched:
        with tempfile.TemporaryDirectory() as folder:
            seeded = replace(row.configs, seed=row.configs.seed + number, output_dir=folder)
            flags = flags_of("cpu", seeded)
            return watch(OURS, flags, threads=row.configs.threads, cwd=Path(folder), peaks=False)

    with ThreadPoolExecutor(row.runs) as pool:
        return list(pool.map(run, range(row.runs)))


def point(row: Row, rounds: Sequence[Sequence[Watched]]) -> Point:
    """The medians of a row."""
    configs, every = row.configs, [watched for several in rounds for watched in several]
    tokens = configs.steps * configs.tokens_per_step
    return Point(
        series=row.series,
        name=row.name,
        runs=row.runs,
        threads=configs.threads,
        tokens=tokens,
        block_parameters=block_parameters(configs),
        wall_seconds=statistics.median(max(watched.wall for watched in several) for several in rounds),
        start_up_seconds=statistics.median(watched.start_up for watched in every),
        tokens_per_second=statistics.median((tokens - configs.tokens_per_step) / watched.seconds for watched in every),
        peak_memory_bytes=statistics.median(watched.peak_memory_bytes for watched in every),
    )


def measure(rows: Sequence[Row], rounds: int) -> list[Point]:
    """All rows, round after round, the order turned each time. Raises CommandFailed."""
    seen: dict[int, list[list[Watched]]] = {number: [] for number in range(len(rows))}
    for turn in range(rounds):
        for number in sorted(seen, reverse=turn % 2 == 1):
            seen[number].append(at_once(rows[number]))
    return [point(rows[number], found) for number, found in seen.items()]


def cells(p: Point) -> list[str]:
    """One line of the table."""
    return [
        *(p.series, p.name, str(p.runs), str(p.threads), f"{p.tokens:,}", f"{p.block_parameters:,}"),
        *(f"{p.wall_seconds:.1f}", f"{p.start_up_seconds:.2f}", f"{p.tokens_per_second:,.0f}", f"{p.throughput:,.0f}"),
        *(f"{p.peak_memory_bytes / 1e6:.0f}", f"{p.runs * p.peak_memory_bytes / 1e6:.0f}"),
    ]


def draw(points: Sequence[Point], file: Path) -> None:
    """A panel for each series, time on the left axis, memory on the right; the suffix is the format."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    titles = {"tokens": "tokens of a run", "parameters": "parameters in the blocks", "side by side": "runs x threads"}
    measured = list(dict.fromkeys(p.series for p in points))
    for axes, series in zip(figure.subplots(1, len(measured), squeeze=False)[0], measured, strict=True):
        chosen = [p for p in points if p.series == series]
        attribute = {"tokens": "tokens", "parameters": "block_parameters", "side by side": "name"}[series]
        x = [getattr(p, attribute) for p in chosen]
        seconds = [p.wall_seconds / (p.tokens / 1e6) / p.runs if series != "tokens" else p.wall_seconds for p in chosen]
        axes.plot(x, seconds, "o-", color="#2563eb")
        axes.set_ylabel("seconds" if series == "tokens" else "seconds for a million tokens", color="#2563eb")
        axes.set_ylim(bottom=0)
        axes.set_xlabel(titles[series])
        if series != "side by side":
            axes.set_xscale("log")
        right = axes.twinx()
        right.plot(x, [p.runs * p.peak_memory_bytes / 1e6 for p in chosen], "s--", color="#b45309")
        right.set_ylabel("memory of all runs, MB", color="#b45309")
        right.set_ylim(bottom=0)
    figure.savefig(file)


def pairs(text: str) -> list[tuple[int, int]]:
    """`2x1,1x2` as (runs, threads)."""
    split = [word.partition("x") for word in words(text)]
    return [(int(runs), int(threads)) for runs, _, threads in split]


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the program with code 2 where it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tokens", type=lambda text: [int(n) for n in words(text)], default=[76_800, 153_600, 307_200])
    parser.add_argument("--sizes", type=words, default=[PRESET, "1M", "3M", "10M"])
    parser.add_argument("--side_by_side", type=pairs, default=[(1, 1), (1, 2), (2, 1), (2, 2)], help="runs x threads")
    parser.add_argument("--data", type=Path, help="a folder that keeps prepared data for the next time")
    parser.add_argument("--figure", type=Path, help="an .svg or .png to draw")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    arguments = parser.parse_args(argv)
    if unknown := [size for size in arguments.sizes if size not in (PRESET, *SIZES)]:
        parser.error(f"there is no size {unknown[0]!r}; there are: {', '.join((PRESET, *SIZES))}")
    if arguments.rounds < 1 or not arguments.tokens:
        parser.error("--rounds is 1 or more, and --tokens names at least one number")
    return arguments


def main(argv: Sequence[str]) -> int:
    """Measure, print and draw; 1 after a command that failed, told with its last words."""
    arguments, began = parse(argv), time.monotonic()
    try:
        with data_folder(arguments.data) as scratch:
            points = measure(rows_of(arguments, scratch), arguments.rounds)
    except CommandFailed as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps([asdict(p) | {"throughput": p.throughput} for p in points], indent=1))
    else:
        table(f"Scaling of preset {arguments.preset}, {arguments.dtype}", HEAD, map(cells, points))
        print(f"\n{time.monotonic() - began:.0f} s")
    if arguments.figure:
        draw(points, arguments.figure)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
