"""One training command in a process of its own, watched: wall time, start-up, memory, and that process's own peak.

    python benchmarks/watched.py REPORT SCRIPT [FLAGS]

runs the script as Python would, then, in the same process with the same threads, measures the largest rate of matrix
products, and writes the report. `watch` starts that, and times it from outside, the same for every script.
"""

import json
import os
import re
import resource
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).resolve()
PRODUCTS, SECONDS = 4, 0.6  # so many products at least, for so long: the fastest counts
FIRST_STEP = r"step 1/"


class CommandFailed(Exception):
    """A command under measurement ended badly; the text says which, and its last words."""


@dataclass(frozen=True)
class Watched:
    """What was seen of one command.

    start_up: seconds from the start of its process to the line of its first step. seconds: from that line to the
    script's end, evaluations, logging and checkpoint included. peaks: FLOP/s of matrix products, by dtype.
    """

    start_up: float
    seconds: float
    peak_memory_bytes: int
    peaks: dict[str, float]
    lines: tuple[str, ...]

    @property
    def wall(self) -> float:
        """Seconds of the whole command."""
        return self.start_up + self.seconds


def watch(
    script: Path, flags: Sequence[str], *, threads: int, cwd: Path, first_step: str = FIRST_STEP, peaks: bool = True
) -> Watched:
    """Run `python SCRIPT FLAGS` on so many threads in `cwd`; raise CommandFailed if it fails or never steps."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads)) | {"PYTHONUNBUFFERED": "1"}
    with tempfile.NamedTemporaryFile("r+") as report, tempfile.TemporaryFile("r+") as complaints:
        command = [sys.executable, str(PROGRAM), report.name, "peaks" if peaks else "no peaks", str(script), *flags]
        began, lines, first = time.monotonic(), [], None
        with subprocess.Popen(
            command, env=environment, cwd=cwd, stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as process:
            assert process.stdout
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                if first is None and re.search(first_step, line):
                    first = time.monotonic()
        if process.returncode or first is None:
            complaints.seek(0)
            last = "\n".join([*lines, *complaints.read().splitlines()][-12:])
            raise CommandFailed(f"{script} ended with code {process.returncode} and {len(lines)} lines:\n{last}")
        seen: dict[str, Any] = json.loads(report.read())
    return Watched(first - began, seen["ended"] - first, seen["peak_memory_bytes"], seen["peaks"], tuple(lines))


def main(report: str, peaks: str, script: str, *flags: str) -> int:
    """Run the script, then measure; the script's exit code."""
    sys.argv, sys.path[0] = [script, *flags], str(Path(script).parent)
    os._exit = sys.exit  # type: ignore[assignment]  # a script that ends at once would end the measurement, too
    code = 0
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    seen = {"ended": time.monotonic(), "peak_memory_bytes": peak_memory()}
    Path(report).write_text(json.dumps(seen | {"peaks": matmul_peaks() if peaks == "peaks" and not code else {}}))
    return code


def peak_memory() -> int:
    """The most bytes that this process has held: of the GPU's memory where it used one, else of the machine's."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def matmul_peaks() -> dict[str, float]:
    """FLOP/s of square products: in float32 by torch's default kernels, in bfloat16 where there are units for it."""
    import torch

    torch.backends.mkldnn.matmul.fp32_precision = "ieee"  # type: ignore[attr-defined]
    on_gpu = torch.cuda.is_available()
    capabilities = torch.cpu.get_capabilities()
    bfloat16 = on_gpu or bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return {name: matmul_peak(name, on_gpu) for name in ("float32", "bfloat16")[: 1 + bfloat16]}


def matmul_peak(dtype: str, on_gpu: bool) -> float:
    """The fastest of some products of two square matrices, in FLOP/s."""
    import torch

    n = 8192 if on_gpu else 1536
    a = torch.rand(n, n, dtype=getattr(torch, dtype), device="cuda" if on_gpu else "cpu")
    seconds: list[float] = []
    while len(seconds) < PRODUCTS or sum(seconds) < SECONDS:
        began = time.perf_counter()
        torch.mm(a, a)
        if on_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return 2 * n**3 / min(seconds)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
