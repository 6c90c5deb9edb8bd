"""The command: one JSON object on standard output, or one sentence on standard error and exit code 1."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agents.errors import CircleError, UsageError
from agents.evaluation.evaluate import evaluate
from agents.evaluation.handover import hand_over
from agents.evaluation.served_model import ModelCard
from agents.evaluation.windows import read_windows
from agents.laboratory.sandbox import named

_BLOCK_BYTES = 1 << 24
_SANDBOXES = ("bubblewrap", "sandlock", "sandbox-exec", "none")


def main(argv: Sequence[str]) -> int:
    """Evaluate as asked and return the exit code."""
    try:
        answer = run(_parser().parse_args(argv))
    except CircleError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(answer, allow_nan=False))
    return 0


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate as parsed and return the fields of an Evaluation and the model's number of parameters.

    Raise LaboratoryError if that fails.
    """
    files = dict(args.tokens)
    windows = read_windows(files, args.vocabulary, args.sequence_length, args.budget_mb << 20, args.seed)
    run, sandbox = _folder(args.run), named(args.sandbox)
    with TemporaryDirectory(prefix=f".{run.name}-", dir=run.parent) as folder:
        parameters = hand_over(run, args.weights, args.settings, Path(folder))
        card = ModelCard(
            tree=_folder(args.tree),
            folder=Path(folder),
            name=args.model,
            batch=min(len(windows), args.batch or _rows(args.sequence_length, args.vocabulary)),
            length=args.sequence_length,
            vocabulary=args.vocabulary,
            concealed=tuple(files.values()),
            threads=args.threads,
            timeout=args.timeout,
        )
        evaluation = evaluate(card, windows, sandbox, args.seed, args.checks)
    return asdict(evaluation) | {"parameters": parameters}


def _rows(length: int, vocabulary: int) -> int:
    return max(1, _BLOCK_BYTES // (4 * length * vocabulary))


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder.")
    return path


def _tokens(text: str) -> tuple[str, Path]:
    split, equals, file = text.partition("=")
    if not (split and equals and file):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return split, Path(file)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return number


def _length(text: str) -> int:
    number = int(text)
    if number < 2:
        raise argparse.ArgumentTypeError(f"{text} leaves no token to look ahead to: at least 2")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m agents.evaluation", description="Score a run's model.")
    parser.add_argument("--tree", type=Path, required=True, help="the run's exported tree")
    parser.add_argument("--run", type=Path, required=True, help="the folder that the run wrote")
    parser.add_argument("--weights", required=True, help="the safetensors file in that folder that is handed over")
    parser.add_argument("--settings", default="", help="the JSON file in that folder that is handed over too")
    parser.add_argument("--model", required=True, help="MODULE:FUNCTION of the tree")
    parser.add_argument("--tokens", type=_tokens, required=True, action="append", help="NAME=PATH, repeatable")
    parser.add_argument("--vocabulary", type=_positive, required=True, help="how many tokens there are")
    parser.add_argument("--sequence_length", type=_length, required=True, help="inputs of a window")
    parser.add_argument("--batch", type=_positive, help="windows of a block (default: 16 MiB of logits)")
    parser.add_argument("--budget_mb", type=_positive, default=8192, help="MiB of logits a split (default: 8192)")
    parser.add_argument("--checks", action="store_true", help="also check, in a second process, what it looks at")
    parser.add_argument("--sandbox", choices=_SANDBOXES, default=_SANDBOXES[0])
    parser.add_argument("--threads", type=_positive, default=1, help="threads of the model (default: 1)")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds for all of it (default: 1800)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample, the order and the checks (default: 0)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
