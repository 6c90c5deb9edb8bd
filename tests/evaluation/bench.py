"""A bench for small models: a tree, what a run left, token files that follow a rule, and the evaluator's command."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.evaluation.__main__ import main

VOCABULARY, LENGTH = 17, 24
PASSED = dict.fromkeys(("finite", "causal", "batch_invariant", "stateless"), True)


@dataclass
class Bench:
    """A tree, a run folder and two token files, and the command that evaluates them."""

    folder: Path
    sandbox: str = "bubblewrap"

    def write(self, code: str) -> None:
        (self.folder / "tree" / "model.py").write_text(code)

    def arguments(self, *options: str, name: str = "model:load") -> list[str]:
        arguments = ["--model", name, "--tree", str(self.folder / "tree"), "--run", str(self.folder / "run")]
        arguments += ["--weights", "weights.safetensors"]
        arguments += ["--vocabulary", str(VOCABULARY), "--sequence_length", str(LENGTH), "--batch", "8"]
        arguments += ["--sandbox", self.sandbox]
        for split in ("visible", "hidden"):
            arguments += ["--tokens", f"{split}={self.folder / split}.bin"]
        return [*arguments, *options]

    def evaluate(self, code: str, *options: str) -> Any:
        """Return what the evaluator prints of a model."""
        self.write(code)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert main(self.arguments(*options)) == 0
        return json.loads(printed.getvalue())

    def sentence(self, code: str, *options: str, name: str = "model:load") -> str:
        """Return the one sentence that the evaluator has for a model that cannot be scored."""
        self.write(code)
        with contextlib.redirect_stderr(io.StringIO()) as complaint:
            assert main(self.arguments(*options, name=name)) == 1
        assert complaint.getvalue().count("\n") == 1
        return complaint.getvalue()


class InProcess:
    """Stands for a ServedModel: the tree's model in this process."""

    def __init__(self, card: Any, sandbox: Any) -> None:
        self._card = card

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self) -> None:
        namespace: dict[str, Any] = {}
        exec((self._card.tree / "model.py").read_text(), namespace)
        self._model = namespace["load"](self._card.folder)

    def logits(self, tokens: Any) -> Any:
        with torch.no_grad():
            answer = self._model(torch.from_numpy(tokens)).float().numpy()
        return answer.reshape(-1, self._card.vocabulary)


def tokens(count: int, seed: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return ids of which nine in ten follow from the one before by one rule."""
    chance = np.random.default_rng(seed)
    ids = chance.integers(VOCABULARY, size=count)
    for i in range(1, count):
        if chance.random() < 0.9:
            ids[i] = (ids[i - 1] * 3 + 1) % VOCABULARY
    return ids.astype("<u2")
