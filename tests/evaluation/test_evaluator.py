"""The evaluator with real processes, on tiny models whose losses are known."""

from __future__ import annotations

import contextlib
import io
import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from agents.evaluation.__main__ import main

ROOT = Path(__file__).parents[2]
VOCABULARY, LENGTH = 17, 24
# The next token follows from the last by this rule nine times out of ten, else it is any token.
BIGRAM = """
import torch
from safetensors.torch import load_file

def load(run):
    table = load_file(run / "weights.safetensors")["table"]
    return lambda tokens: table[tokens]
"""
NOTHING = """
import torch

def load(run):
    return lambda tokens: torch.zeros(*tokens.shape, 17)
"""


@dataclass
class Bench:
    """A tree, a run folder and two token files, and the command that evaluates them."""

    folder: Path

    def write(self, code: str) -> None:
        (self.folder / "tree" / "model.py").write_text(code)

    def arguments(self, *options: str, name: str = "model:load") -> list[str]:
        arguments = ["--model", name, "--tree", str(self.folder / "tree"), "--run", str(self.folder / "run")]
        arguments += ["--vocabulary", str(VOCABULARY), "--sequence_length", str(LENGTH), "--batch", "8"]
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


def tokens(count: int, seed: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    chance = np.random.default_rng(seed)
    ids = chance.integers(VOCABULARY, size=count)
    for i in range(1, count):
        if chance.random() < 0.9:
            ids[i] = (ids[i - 1] * 3 + 1) % VOCABULARY
    return ids.astype("<u2")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "tree").mkdir()
    (tmp_path / "run").mkdir()
    tokens(1500, seed=1).tofile(tmp_path / "visible.bin")
    tokens(700, seed=2).tofile(tmp_path / "hidden.bin")
    return Bench(tmp_path)


def save_bigram(bench: Bench, scale: float = 1.0) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Write a random table of logits as the run's weights and return it."""
    table = np.random.default_rng(3).normal(size=(VOCABULARY, VOCABULARY)) * scale
    save_file({"table": table.astype(np.float32)}, bench.folder / "run" / "weights.safetensors")
    return table.astype(np.float32).astype(np.float64)


def loss_by_hand(table: np.ndarray[Any, np.dtype[np.float64]], file: Path) -> tuple[float, int]:
    ids = np.fromfile(file, "<u2").astype(int)
    ids = ids[: (len(ids) - 1) // LENGTH * LENGTH + 1]
    logits = table[ids[:-1]]
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(logits)), ids[1:]]
    return float(losses.mean()), len(losses)


@pytest.mark.parametrize("sandbox", ["bubblewrap", "none"])
def test_a_bigram_model_has_the_loss_that_a_hand_computes(bench: Bench, sandbox: str) -> None:
    table = save_bigram(bench)
    answer = bench.evaluate(BIGRAM, "--sandbox", sandbox)
    assert answer["checks"] == dict.fromkeys(("finite", "causal", "batch_invariant", "stateless"), True)
    for split in ("visible", "hidden"):
        value, count = loss_by_hand(table, bench.folder / f"{split}.bin")
        assert answer["values"][split] == pytest.approx(value, abs=1e-6)
        assert answer["tokens_scored"][split] == count
    assert answer["seconds"] > 0


def test_the_program_prints_one_object_or_one_sentence(bench: Bench) -> None:
    save_bigram(bench)
    for code, returncode in ((BIGRAM, 0), ("raise RuntimeError", 1)):
        bench.write(code)
        done = subprocess.run(
            [sys.executable, "-P", "-m", "agents.evaluation", *bench.arguments()],
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == returncode
        assert [done.stdout.count("\n"), done.stderr.count("\n")] == [1 - returncode, returncode]


@pytest.mark.parametrize("scale", [0.5, 50.0])
def test_scaled_logits_are_what_the_softmax_says(bench: Bench, scale: float) -> None:
    table = save_bigram(bench, scale)
    value, _ = loss_by_hand(table, bench.folder / "visible.bin")
    assert bench.evaluate(BIGRAM)["values"]["visible"] == pytest.approx(value, rel=1e-5)


def test_equal_logits_cost_the_logarithm_of_the_vocabulary_however_high(bench: Bench) -> None:
    answer = bench.evaluate(NOTHING.replace("17)", "17) + 1e6"))
    assert answer["values"]["visible"] == pytest.approx(math.log(VOCABULARY), abs=1e-6)


def test_bfloat16_under_autocast_passes(bench: Bench) -> None:
    answer = bench.evaluate(
        """
import torch

def load(run):
    torch.manual_seed(0)
    embed, head = torch.nn.Embedding(17, 64), torch.nn.Linear(64, 17)
    attend = torch.nn.MultiheadAttention(64, 4, batch_first=True).eval()
    def model(tokens):
        with torch.autocast("cpu", torch.bfloat16):
            mask = torch.nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
            x = embed(tokens) * 10
            return head(x + attend(x, x, x, attn_mask=mask, is_causal=True)[0])
    return model
"""
    )
    assert all(answer["checks"].values())


LEAKS = {
    "next token": "logits.scatter_add(2, ahead(tokens, 1)[..., None], torch.full((*tokens.shape, 1), 1.0))",
    "faint": "logits.scatter_add(2, ahead(tokens, 1)[..., None], torch.full((*tokens.shape, 1), 0.02))",
    "two ahead": "logits + torch.nn.functional.one_hot(ahead(tokens, 2), 17)",
    "mean of the window": "logits + torch.nn.functional.one_hot(tokens, 17).float().mean(1, keepdim=True)",
    "behind a huge logit": "(logits + torch.nn.functional.one_hot(ahead(tokens, 1), 17))"
    ".index_fill(2, torch.tensor([16]), -1e9)",
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_a_look_ahead_is_caught(bench: Bench, leak: str) -> None:
    for split in ("visible", "hidden"):
        ids = np.fromfile(bench.folder / f"{split}.bin", "<u2")
        (ids % 16).tofile(bench.folder / f"{split}.bin")
    answer = bench.evaluate(
        f"""
import torch

def ahead(tokens, by):
    return torch.cat([tokens[:, by:], tokens[:, :by]], 1)

def load(run):
    def model(tokens):
        logits = torch.zeros(*tokens.shape, 17)
        return {leak}
    return model
"""
    )
    assert answer["checks"]["finite"]
    assert answer["checks"]["causal"] is False
    assert answer["values"] == {"visible": None, "hidden": None}


def test_a_leak_that_stores_its_answers_is_caught(bench: Bench) -> None:
    answer = bench.evaluate(
        """
import torch

seen = []

def load(run):
    def row(ids):
        best, logits = max(seen, key=lambda old: common(old[0], ids), default=(None, None))
        fresh = torch.nn.functional.one_hot(ids.roll(-1), 17) * 3.0
        if best is not None and (n := common(best, ids)) > 2:
            fresh[:n] = logits[:n]
        seen.append((ids, fresh))
        return fresh
    return lambda tokens: torch.stack([row(ids) for ids in tokens])

def common(a, b):
    return int((a == b).long().cumprod(0).sum())
"""
    )
    assert answer["checks"]["causal"] is False


@pytest.mark.parametrize(
    "memory",
    [
        "calls.append(1); return logits * len(calls)",
        "calls.append(tokens); return logits + (len(calls) > 9)*hot",
    ],
    ids=["counts calls", "learns while it is scored"],
)
def test_a_memory_between_calls_is_caught(bench: Bench, memory: str) -> None:
    answer = bench.evaluate(
        f"""
import torch

calls = []

def load(run):
    def model(tokens):
        hot = torch.nn.functional.one_hot((tokens * 3 + 1) % 17, 17)
        logits = torch.nn.functional.one_hot(tokens, 17).float()
        {memory}
    return model
"""
    )
    assert answer["checks"]["stateless"] is False
    assert answer["values"]["visible"] is None


def test_a_look_at_other_rows_is_caught(bench: Bench) -> None:
    answer = bench.evaluate(
        """
import torch

def load(run):
    return lambda tokens: torch.nn.functional.one_hot(tokens, 17).float().cumsum(0)
"""
    )
    assert answer["checks"]["batch_invariant"] is False
    assert answer["checks"]["stateless"] is True


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_model_that_is_not_finite_has_no_value(bench: Bench, value: str) -> None:
    answer = bench.evaluate(NOTHING.replace("17)", f"17) + float('{value}')"))
    assert answer["values"] == {"visible": None, "hidden": None}
    assert answer["checks"] == {"finite": False, "causal": None, "batch_invariant": None, "stateless": None}


def test_prints_are_harmless(bench: Bench) -> None:
    noise = """
import os, subprocess
print("x" * 1_000_000, flush=True)
os.write(1, b'{"values": {"visible": 0.0}}')
subprocess.run(["echo", "visible: 0"])
assert os.read(0, 1) == b""
"""
    answer = bench.evaluate(NOTHING + noise)
    assert answer["values"]["hidden"] == pytest.approx(math.log(VOCABULARY))


def test_tokens_cannot_be_read_by_the_model(bench: Bench) -> None:
    """The model tells by its logits what it could see: a seen file would raise the logit of token 0."""
    places = [str(bench.folder / name) for name in ("hidden.bin", "visible.bin")] + [str(ROOT / "agents" / "errors.py")]
    spy = f"""
import torch

def seen(place):
    try:
        return open(place).read(1) is not None
    except OSError:
        return False

def load(run):
    logits = torch.zeros(17)
    logits[0] = 9.0 if any(map(seen, {places})) else 0.0
    return lambda tokens: logits.expand(*tokens.shape, 17)
"""
    uniform = pytest.approx(math.log(VOCABULARY), abs=1e-6)
    assert bench.evaluate(spy)["values"]["hidden"] == uniform
    assert bench.evaluate(spy, "--sandbox", "none")["values"]["hidden"] != uniform


def test_tokens_in_the_run_folder_are_concealed(bench: Bench) -> None:
    kept = bench.folder / "run" / "kept.bin"
    (bench.folder / "hidden.bin").rename(kept)
    (bench.folder / "hidden.bin").symlink_to(kept)
    said = bench.sentence("def load(run):\n    open(run / 'kept.bin')\n")
    assert "PermissionError" in said


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise RuntimeError('a \x1b[31mbad day')", "RuntimeError: a [31mbad day"),
        ("def other(run): pass", "AttributeError: module 'model' has no attribute 'load'"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        (BIGRAM, "No such file or directory"),
        ("import os; os.abort()", "The model's process ended with"),
        (
            "def load(run): return lambda tokens: tokens",
            "the model gave logits of shape [8, 24], not [8, 24, 17]",
        ),
    ],
    ids=["error", "no function", "no import", "no weights", "abort", "shape"],
)
def test_a_crash_is_one_sentence_with_its_reason(bench: Bench, code: str, words: str) -> None:
    said = bench.sentence(code)
    assert said.startswith("The model's process ended with ")
    assert words in said


def test_a_module_from_elsewhere_is_refused(bench: Bench) -> None:
    assert "not in the run's tree" in bench.sentence("", name="json:loads")


@pytest.mark.parametrize(
    "code",
    ["import time; time.sleep(60)", "def load(run): return lambda tokens: [0 for _ in iter(int, 1)]"],
    ids=["while loading", "while answering"],
)
def test_a_hang_ends_at_the_timeout(bench: Bench, code: str) -> None:
    assert bench.sentence(code, "--timeout", "5") == "The model did not answer within 5 seconds.\n"


@pytest.mark.parametrize(
    ("ids", "words"),
    [([1, 2, 3], "has 3 tokens, too few"), ([17] * 99, "has token 17, outside the vocabulary of 17")],
)
def test_tokens_that_do_not_fit_are_told(bench: Bench, ids: list[int], words: str) -> None:
    np.array(ids, "<u2").tofile(bench.folder / "hidden.bin")
    assert words in bench.sentence(NOTHING)


def test_missing_tokens_are_told(bench: Bench) -> None:
    (bench.folder / "hidden.bin").unlink()
    assert "hidden.bin cannot be read: No such file or directory." in bench.sentence(NOTHING)
