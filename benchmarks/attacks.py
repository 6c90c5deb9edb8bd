"""How many attacks each sandbox of this machine blocks, and what its start costs: `python -m benchmarks.attacks`.

Every attack of tests/attacks is run as a patch's training run is, on a host with decoys. What got through is named.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from agents.laboratory.sandbox import Sandbox, backends
from agents.laboratory.sandbox.trial import complaint
from tests.attacks.host import CATEGORIES, Host, Range, attacks, host

_STARTS = 20


def main() -> None:
    """Print a row for each backend and category, and one for each attack that got through."""
    parser = argparse.ArgumentParser(description="What each sandbox of this machine blocks, and what it costs.")
    parser.add_argument("--sandbox", help="only this one")
    only = parser.parse_args().sandbox
    os.environ["ANTHROPIC_API_KEY"] = "swordfish"
    for sandbox in {sandbox.name: sandbox for sandbox in backends() if only in (None, sandbox.name)}.values():
        with host() as made:
            _print_blocked(sandbox, made)
        _print_costs(sandbox)


def _print_blocked(sandbox: Sandbox, made: Host) -> None:
    ranged = Range(made, sandbox)
    blocked = tried = 0
    through: list[str] = []
    for category in CATEGORIES:
        before = blocked
        found = attacks(category)
        for attack in found:
            if how := ranged.run(attack).through(attack):
                through.append(f"  {attack.name}: {how}")
            else:
                blocked += 1
        tried += len(found)
        print(f"{sandbox.name:<12} {category:<10} {blocked - before:>3} of {len(found)} blocked", flush=True)
    print(f"{sandbox.name:<12} {'all':<10} {blocked:>3} of {tried} blocked")
    print("\n".join(through) or "  none got through")


def _print_costs(sandbox: Sandbox) -> None:
    bare = [sys.executable, "-I", "-S", "-c", ""]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        inside = sandbox.wrap(bare, cwd=place, writable=[place])
        started = _start(inside) - _start(bare)
    began = time.perf_counter()
    assert complaint(sandbox) == ""
    trial = time.perf_counter() - began
    print(f"{sandbox.name:<12} start-up {started * 1000:.0f} ms, trial {trial * 1000:.0f} ms")


def _start(command: Sequence[str]) -> float:
    """Return the median of the seconds that a command takes."""
    seconds = []
    for _ in range(_STARTS):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
