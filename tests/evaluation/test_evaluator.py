"""The evaluator on tiny models whose losses are known.

Each process of the evaluator imports torch, so only tests that are about processes start any; the others take
the fixture `in_process`, where a fresh namespace stands for a fresh process.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from agents.evaluation import evaluate
from agents.evaluation.scoring import blocks_of, cross_entropy
from tests.evaluation.bench import LENGTH, PASSED, VOCABULARY, Bench, InProcess

ROOT = Path(__file__).parents[2]
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


def save_bigram(bench: Bench) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Write a random table of logits as the run's weights and return it."""
    table = np.random.default_rng(3).normal(size=(VOCABULARY, VOCABULARY))
    save_file({"table": table.astype(np.float32)}, bench.folder / "run" / "weights.safetensors")
    return table.astype(np.float32).astype(np.float64)


def loss_by_hand(table: np.ndarray[Any, np.dtype[np.float64]], file: Path) -> tuple[float, int]:
    ids = np.fromfile(file, "<u2").astype(int)
    ids = ids[: (len(ids) - 1) // LENGTH * LENGTH + 1]
    logits = table[ids[:-1]]
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(logits)), ids[1:]]
    return float(losses.mean()), len(losses)


def test_a_bigram_model_has_the_loss_that_a_hand_computes(bench: Bench) -> None:
    table = save_bigram(bench)
    answer = bench.evaluate(BIGRAM, "--checks")
    assert answer["checks"] == PASSED
    for split in ("visible", "hidden"):
        value, count = loss_by_hand(table, bench.folder / f"{split}.bin")
        assert answer["values"][split] == pytest.approx(value, abs=1e-6)
        assert answer["tokens_scored"][split] == count
    assert answer["seconds"] > 0


def test_the_program_prints_one_object_or_one_sentence(bench: Bench) -> None:
    """However much the model prints and whatever it does to what it shares; no checks unless they are asked for."""
    noise = """
import os, subprocess
print("x" * 1_000_000, flush=True)
os.write(1, b'{"values": {"visible": 0.0}}')
subprocess.run(["echo", "visible: 0"])
assert os.read(0, 1) == b""
for descriptor in os.listdir("/proc/self/fd"):
    try:
        os.ftruncate(int(descriptor), 0)
    except OSError:
        pass
"""
    printed = json.loads(program(bench, NOTHING + noise, returncode=0).stdout)
    assert printed["parameters"] == 1
    assert printed["values"]["hidden"] == pytest.approx(math.log(VOCABULARY))
    assert printed["checks"] == {"finite": True}
    said = program(bench, r"raise RuntimeError('a \x1b[31mbad day')", returncode=1).stderr
    assert said == "The model's process ended with 1: RuntimeError: a [31mbad day\n"


def program(bench: Bench, code: str, returncode: int) -> subprocess.CompletedProcess[str]:
    """Run the command as a program of its own on a model."""
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
    return done


def test_the_scorer_does_without_torch() -> None:
    question = "import agents.evaluation.__main__, sys; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", question], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"


@pytest.mark.usefixtures("in_process")
def test_unchecked_scores_are_those_of_the_checked_model_in_blocks_of_any_size(bench: Bench) -> None:
    save_bigram(bench)
    checked, plain = bench.evaluate(BIGRAM, "--checks"), bench.evaluate(BIGRAM, "--batch", "5")
    assert plain["values"] == pytest.approx(checked["values"], abs=1e-12)
    assert plain["tokens_scored"] == checked["tokens_scored"]


def test_only_checks_start_a_second_process(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[InProcess] = []

    class Counted(InProcess):
        def wait(self) -> None:
            started.append(self)
            super().wait()

    monkeypatch.setattr(evaluate, "ServedModel", Counted)
    bench.evaluate(NOTHING)
    assert len(started) == 1
    bench.evaluate(NOTHING, "--checks")
    assert len(started) == 3


@pytest.mark.parametrize(("scale", "shift"), [(0.5, 0.0), (50.0, 0.0), (1.0, 1e6)])
@pytest.mark.parametrize("vocabulary", [3, 2048])
def test_cross_entropy_is_what_the_softmax_says(vocabulary: int, scale: float, shift: float) -> None:
    chance = np.random.default_rng(0)
    logits = (chance.normal(size=(400, vocabulary)) * scale + shift).astype(np.float32)
    targets = chance.integers(vocabulary, size=400)
    exact = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits.astype(np.float64)), torch.from_numpy(targets), reduction="none"
    )
    assert cross_entropy(logits, targets) == pytest.approx(exact.numpy(), abs=2e-6, rel=2e-6)


@pytest.mark.filterwarnings("error")
def test_cross_entropy_of_logits_that_are_not_finite_is_no_better_than_it_should_be() -> None:
    inf, nan = math.inf, math.nan
    logits = np.array([[0, 0, -inf], [-inf, 0, 0], [inf, 0, 0], [inf, -inf, 0], [0, nan, 0], [-3e38, 3e38, 0]], "f4")
    losses = cross_entropy(logits, np.zeros(6, np.int64))
    assert losses[0] == pytest.approx(math.log(2))
    assert not np.isfinite(losses[1:]).any()


def test_the_last_block_borrows_from_the_first() -> None:
    assert [block.tolist() for block in blocks_of(np.arange(5), 3)] == [[0, 1, 2], [3, 4, 0]]
    assert [block.tolist() for block in blocks_of(np.array([7, 5]), 2)] == [[7, 5]]


@pytest.mark.usefixtures("in_process")
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
""",
        "--checks",
    )
    assert answer["checks"] == PASSED


LEAKS = {
    "next token": "logits.scatter_add(2, ahead(tokens, 1)[..., None], torch.full((*tokens.shape, 1), 1.0))",
    "faint": "logits.scatter_add(2, ahead(tokens, 1)[..., None], torch.full((*tokens.shape, 1), 0.02))",
    "two ahead": "logits + torch.nn.functional.one_hot(ahead(tokens, 2), 17)",
    "mean of the window": "logits + torch.nn.functional.one_hot(tokens, 17).float().mean(1, keepdim=True)",
    "behind a huge logit": "(logits + torch.nn.functional.one_hot(ahead(tokens, 1), 17))"
    ".index_fill(2, torch.tensor([16]), -1e9)",
}


@pytest.mark.usefixtures("in_process")
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
""",
        "--checks",
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
""",
        "--checks",
    )
    assert answer["checks"]["causal"] is False


@pytest.mark.usefixtures("in_process")
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
""",
        "--checks",
    )
    assert answer["checks"]["stateless"] is False
    assert answer["values"]["visible"] is None


@pytest.mark.usefixtures("in_process")
def test_a_look_at_other_rows_is_caught(bench: Bench) -> None:
    answer = bench.evaluate(
        """
import torch

def load(run):
    return lambda tokens: torch.nn.functional.one_hot(tokens, 17).float().cumsum(0)
""",
        "--checks",
    )
    assert answer["checks"]["batch_invariant"] is False
    assert answer["checks"]["stateless"] is True


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_model_that_is_not_finite_has_no_value(bench: Bench, value: str) -> None:
    code = NOTHING.replace("17)", f"17) + float('{value}')")
    answers = bench.evaluate(code), bench.evaluate(code, "--checks")
    assert [answer["values"] for answer in answers] == [{"visible": None, "hidden": None}] * 2
    assert answers[0]["checks"] == {"finite": False}
    assert answers[1]["checks"] == {"finite": False, "causal": None, "batch_invariant": None, "stateless": None}


def test_tokens_cannot_be_read_by_the_model(bench: Bench) -> None:
    """The model tells by its logits what it could see: a seen file would raise the logit of token 0."""
    kept = bench.folder / "run" / "kept.bin"
    (bench.folder / "hidden.bin").rename(kept)
    (bench.folder / "hidden.bin").symlink_to(kept)
    places = [str(bench.folder / name) for name in ("hidden.bin", "visible.bin", "run/kept.bin")]
    (bench.folder / "run" / "cache.pt").write_bytes(b"what a run may have left beside its weights")
    places += [str(bench.folder / "run" / "cache.pt"), str(ROOT / "agents" / "errors.py")]
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


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def other(run): pass", "AttributeError: module 'model' has no attribute 'load'"),
        (BIGRAM, "KeyError: 'table'"),
        ("import os; os.abort()", "The model's process ended with"),
        (
            "def load(run): return lambda tokens: tokens",
            "the model gave logits of shape [8, 24], not [8, 24, 17]",
        ),
    ],
    ids=["no function", "other weights", "abort", "shape"],
)
def test_a_crash_is_one_sentence_with_its_reason(bench: Bench, code: str, words: str) -> None:
    said = bench.sentence(code)
    assert said.startswith("The model's process ended with ")
    assert words in said


def test_a_module_from_elsewhere_is_refused(bench: Bench) -> None:
    assert "not in the run's tree" in bench.sentence("", name="json:loads")


@pytest.mark.parametrize(
    ("code", "seconds"),
    [("import time; time.sleep(60)", "0.5"), ("def load(run): return lambda tokens: [0 for _ in iter(int, 1)]", "4")],
    ids=["while loading", "while answering"],
)
def test_a_hang_ends_at_the_timeout(bench: Bench, code: str, seconds: str) -> None:
    assert bench.sentence(code, "--timeout", seconds) == f"The model did not answer within {seconds} seconds.\n"


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
