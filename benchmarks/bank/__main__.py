"""`python -m benchmarks.bank --train FOLDER [--preset cpu --seeds 16 --workers 2]` trains what FOLDER has not yet."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.bank.runs import train_all


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, metavar="FOLDER", required=True)
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    train_all(arguments.train, arguments.preset, arguments.seeds, arguments.workers)


if __name__ == "__main__":
    main()
