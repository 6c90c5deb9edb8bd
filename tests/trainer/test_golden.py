"""The smoke preset's losses, pinned for each class of platform: no change moves the trainer unseen.

Where a change is meant to move them, the failure prints what belongs into golden.json. On a class that has no entry
the losses are compared with those of all others, loosely: kernels that sum in another order are no change.
"""

import json
import platform
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainer.config import PRESETS
from trainer.device import computes_bfloat16
from trainer.loop import train

GOLDEN = Path(__file__).with_name("golden.json")
OTHER_KERNELS = 0.03  # nats by which other kernels' rounding may move the loss of a run that has barely begun


def processor() -> str:
    """The maker, family and model of this machine's processor."""
    wanted = ("vendor_id", "cpu family", "model\t")
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    return " ".join(line.split(":")[1].strip() for line in lines[:8] if line.startswith(wanted))


def platform_class(dtype: str) -> str:
    release = ".".join(torch.__version__.split(".")[:2])
    return f"{platform.machine()} {processor()}, torch {release}, {dtype}"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_smoke_presets_losses_are_pinned(dtype: str, smoke_data: Path, tmp_path: Path) -> None:
    """To the last bit where this class of platform is on record."""
    if dtype == "bfloat16" and not computes_bfloat16(torch.device("cpu")):
        pytest.skip("this processor has no units for bfloat16")
    train(replace(PRESETS["smoke"], seed=1, dtype=dtype, data_dir=str(smoke_data), output_dir=str(tmp_path)))
    (metrics,) = tmp_path.glob("plots/metrics_*.json")
    losses = json.loads(metrics.read_text(encoding="utf-8"))["history"]["val_losses"]
    golden, here = json.loads(GOLDEN.read_text(encoding="utf-8")), platform_class(dtype)
    if here in golden:
        assert losses == golden[here], f'\n"{here}": {json.dumps(losses)}'
    for name, pinned in golden.items():
        assert losses == pytest.approx(pinned, abs=OTHER_KERNELS), f'{name}\n"{here}": {json.dumps(losses)}'
