"""Every mutant gains by a naive measure, and the evaluator gives it nothing for that.

`mutants/` has one small model a file. A mutant is killed if the checks refuse it by the name that is expected, or if
the trusted loss is no better than that of the honest model that it was made from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from tests.evaluation.bench import LENGTH, PASSED, Bench

MUTANTS = Path(__file__).with_name("mutants")
REFUSED = {
    "mask_one_ahead": "causal",
    "mask_far": "causal",
    "mask_one_place": "causal",
    "mask_in_batches": "causal",
    "ngram_cache": "stateless",
    "learns_while_scored": "stateless",
    "batch_peek": "batch_invariant",
    "not_a_number": "finite",
    "infinite": "finite",
}
USELESS = ("off_by_one", "unnormalised", "minus_1e9", "memorised_order")

pytestmark = pytest.mark.usefixtures("in_process")


def test_every_mutant_has_a_test() -> None:
    assert {file.stem for file in MUTANTS.glob("*.py")} == {"honest", *REFUSED, *USELESS}


def test_the_honest_model_passes(mutants: Bench) -> None:
    answer = mutants.evaluate(source("honest"), "--checks")
    assert answer["checks"] == PASSED


@pytest.mark.parametrize(("name", "check"), REFUSED.items(), ids=REFUSED)
def test_a_mutant_is_refused_although_it_gains(mutants: Bench, name: str, check: str) -> None:
    honest = mutants.evaluate(source("honest"))["values"]["visible"]
    if check == "finite":
        assert naive(mutants, name) < honest
    else:
        assert mutants.evaluate(source(name))["values"]["visible"] < honest - 0.01
    answer = mutants.evaluate(source(name), "--checks")
    assert answer["checks"][check] is False
    assert answer["values"] == {"visible": None, "hidden": None}


@pytest.mark.parametrize("name", USELESS)
def test_a_mutant_gains_nothing_by_what_fools_a_naive_loss(mutants: Bench, name: str) -> None:
    honest = mutants.evaluate(source("honest"))["values"]["visible"]
    assert naive(mutants, name) < honest
    assert mutants.evaluate(source(name))["values"]["visible"] > honest - 1e-6


def source(name: str) -> str:
    return (MUTANTS / f"{name}.py").read_text()


def naive(bench: Bench, name: str) -> float:
    """The visible loss as a mutant would like to have it measured."""
    inputs, targets = visible_windows(bench)
    namespace: dict[str, Any] = {}
    exec(source(name), namespace)
    logits = namespace["load"](bench.folder / "run")(inputs)
    if name == "off_by_one":  # with its own targets
        return loss(logits, inputs)
    if name == "unnormalised":  # without a softmax
        return float(-logits.gather(-1, targets[..., None]).mean())
    if name == "minus_1e9":  # with a probability that is kept above zero
        return float(-logits.softmax(-1).clamp_min(1e-2).gather(-1, targets[..., None]).log().mean())
    if name in ("not_a_number", "infinite"):  # without the tokens that went wrong
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        certain = logits.argmax(-1).flatten() == targets.flatten()
        return float(torch.where(certain & losses.isnan(), 0.0, losses)[certain].nanmean())
    return loss(logits, targets)  # in the order of the file


def loss(logits: torch.Tensor, targets: torch.Tensor) -> float:
    return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()))


def visible_windows(bench: Bench) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.from_numpy(np.fromfile(bench.folder / "visible.bin", "<u2").astype(np.int64))
    count = (len(ids) - 1) // LENGTH * LENGTH
    return ids[:count].view(-1, LENGTH), ids[1 : count + 1].view(-1, LENGTH)


@pytest.fixture
def mutants(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The bench with what all mutants share, and with the visible answers as weights."""
    monkeypatch.syspath_prepend(str(MUTANTS))
    _, targets = visible_windows(bench)
    save_file({"answers": targets.numpy()}, bench.folder / "run" / "weights.safetensors")
    return bench


FILES = {
    "a header of a gigabyte": ((1 << 30).to_bytes(8, "little") + b"{}", "would take 1073741824 bytes"),
    "duplicate keys": (
        (13).to_bytes(8, "little") + b'{"a":1,"a":2}',
        "a key comes twice",
    ),
    "a pickle": (b"\x80\x04cposix\nsystem\n(S'touch sprung'\ntR.", "no safetensors file"),
}


@pytest.mark.parametrize(("content", "words"), FILES.values(), ids=FILES)
def test_weights_that_are_a_trap_are_refused_before_any_process_starts(
    bench: Bench, content: bytes, words: str
) -> None:
    (bench.folder / "run" / "weights.safetensors").write_bytes(content)
    assert words in bench.sentence(source("honest"))
