"""The framework's own share of a session's wall time: what is left when no run is being trained or evaluated.

    python benchmarks/overhead.py [--preset smoke|cpu] [--idea TEXT]

It runs one real session on a clone of this repository and prints one table.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from agents.drive import drive
from agents.records import Budget
from agents.researchers import open_researcher
from agents.session import Home, Options, start
from agents.settings import load_target

ROOT = Path(__file__).resolve().parent.parent


class Stopwatch:
    """A Reporter that adds up the time in which at least one run is going."""

    def __init__(self) -> None:
        self.runs, self.busy, self._going, self._since = 0, 0.0, 0, 0.0

    def __call__(self, event: str, **details: Any) -> None:
        """Count a run's start and end."""
        now = time.monotonic()
        if self._going:
            self.busy += now - self._since
        self._since = now
        self._going += (event == "run started") - (event == "run ended")
        self.runs += event == "run ended"


def main() -> None:
    """Run the session and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--idea", default="")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "-q", str(ROOT), folder], check=True)
        began, watch = time.monotonic(), Stopwatch()
        options = Options(preset=arguments.preset, turbo=True, budget=Budget(max_versions=2))
        opened = start(Home(Path(folder)), arguments.idea, open_researcher("catalogue", load_target(ROOT)), options)
        drive(opened, watch)
        wall, status = time.monotonic() - began, opened.status()
    print("| preset | ended | runs | wall, s | no run going, s | share |")
    print("|---|---|---|---|---|---|")
    own = wall - watch.busy
    print(f"| {arguments.preset} | {status} | {watch.runs} | {wall:.1f} | {own:.1f} | {own / wall:.1%} |")


if __name__ == "__main__":
    main()
