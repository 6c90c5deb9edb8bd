"""The device: batches that arrive one step ahead, laps of a stopwatch, and where compiled code is kept."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer.config import PRESETS, Configs
from trainer.data import load_data
from trainer.device import ahead, prepare_device, random_state, set_random_state
from trainer.evaluation import evaluate
from trainer.model import build_model
from trainer.stopwatch import Stopwatch

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = [torch.device("cpu"), pytest.param(torch.device("cuda", 0), marks=needs_cuda)]


def test_float32_stays_float32() -> None:
    """Whichever kernels multiply: an error of float32's rounding, far below bfloat16's."""
    prepare_device(PRESETS["smoke"])
    x, y = (torch.randn(512, 512, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    exact = x.double() @ y.double()
    for product in (x @ y, torch.nn.functional.linear(x, y.mT.contiguous()), torch.bmm(x[None], y[None])[0]):
        assert (product - exact).abs().max() < 1e-5 * exact.abs().max()


@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize("count", [0, 1, 5])
def test_batches_arrive_whole_and_in_order(count: int, device: torch.device) -> None:
    """None is lost at the end, and rows that are cut from a wider tensor come as they are."""
    tensors = torch.arange(count * 12).view(count, 3, 4)
    arrived = list(ahead(((batch[:, :-1], batch[:, 1:]) for batch in tensors), device))
    assert len(arrived) == count
    for (inputs, targets), batch in zip(arrived, tensors, strict=True):
        assert inputs.device == targets.device == device
        assert torch.equal(inputs.cpu(), batch[:, :-1])
        assert torch.equal(targets.cpu(), batch[:, 1:])


def test_the_next_batch_is_on_its_way_before_one_is_used() -> None:
    """One step ahead, and no further."""
    asked: list[int] = []

    def batches() -> Iterator[list[Tensor]]:
        for number in range(5):
            asked.append(number)
            yield [torch.tensor(number)]

    arriving = ahead(batches(), torch.device("cpu"))
    assert asked == []
    for number in range(4):
        assert next(arriving)[0].item() == number
        assert asked == list(range(number + 2))


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_a_stopwatch_counts_laps_and_nothing_between(device: torch.device) -> None:
    """A large product takes longer than a small one; what is done outside of a lap is in none."""
    watch, (small, large) = Stopwatch(device), (torch.ones(size, size, device=device) for size in (8, 1024))
    large @ large
    for matrix in (small, large, small):
        with watch:
            matrix @ matrix
        large @ large
    laps = watch.seconds()
    assert len(laps) == 3
    assert min(laps) > 0
    assert max(laps) == laps[1]
    assert watch.seconds() == laps


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_the_generators_go_on_where_they_were(device: torch.device) -> None:
    """Also from a row of a larger tensor, which is what a state of several ranks holds."""
    state = torch.stack([random_state(device), random_state(device)])[1]
    drawn = torch.rand(4), torch.rand(4, device=device)
    set_random_state(device, state)
    again = torch.rand(4), torch.rand(4, device=device)
    assert torch.equal(drawn[0], again[0])
    assert torch.equal(drawn[1], again[1])


@needs_cuda
def test_a_gpu_trains_and_evaluates_as_the_cpu_does(tiny: Configs, train_tiny: Callable[..., Any]) -> None:
    """Up to the order of sums."""
    configs = replace(tiny, dtype="float32")
    cpu = torch.device("cpu")
    before = evaluate(build_model(configs, cpu), load_data(configs).splits["visible"], 32, cpu)
    run = train_tiny(dtype="float32")
    assert run.metrics["device"] != "cpu"
    assert run.losses[0] == pytest.approx(before.loss, abs=1e-4)
    assert run.losses[-1] < run.losses[0]


def test_compiled_code_is_kept_in_the_cache_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless another folder is named, or that one cannot be made; without `compile` nothing is touched."""
    compiled, name = replace(PRESETS["smoke"], compile=True), "TORCHINDUCTOR_CACHE_DIR"
    monkeypatch.setenv(name, "mine")  # so that the variable is put back in the end
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    prepare_device(compiled)
    assert os.environ.pop(name) == "mine"
    prepare_device(PRESETS["smoke"])
    assert name not in os.environ
    prepare_device(compiled)
    assert os.environ.pop(name) == str(tmp_path / ".cache" / "circle" / "compiled")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    prepare_device(compiled)
    assert os.environ.pop(name) == str(tmp_path / "cache" / "circle" / "compiled")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    prepare_device(compiled)
    assert name not in os.environ
