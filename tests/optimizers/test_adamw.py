"""AdamW, and what all optimizers here share."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from optimizers.adamw import AdamW
from optimizers.muon import Muon
from optimizers.optimizer import Optimizer

ROOT = Path(__file__).resolve().parents[2]


def parameters(*shapes: tuple[int, ...]) -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(drawn(*shape)) for shape in shapes]


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def step(optimizer: Optimizer | torch.optim.Optimizer, moved: list[torch.nn.Parameter]) -> None:
    for parameter in moved:
        parameter.grad = parameter.detach().sin() + 0.1
    optimizer.step()
    optimizer.zero_grad()


def test_it_moves_as_torchs_own() -> None:
    """Two groups at two rates, with decay, over several steps."""
    ours, theirs = (parameters((8, 4), (4,), (3, 3)) for _ in range(2))
    optimizer = AdamW([(ours[:2], 0.1), (ours[2:], 0.01)], (0.8, 0.99), weight_decay=0.3)
    reference = torch.optim.AdamW(
        [{"params": theirs[:2], "lr": 0.1}, {"params": theirs[2:], "lr": 0.01}], betas=(0.8, 0.99), weight_decay=0.3
    )
    for _ in range(5):
        step(optimizer, ours)
        step(reference, theirs)
    torch.testing.assert_close(ours, theirs)


def test_the_multiplier_scales_every_rate() -> None:
    """Of the peak, not of the rate before."""
    optimizer = AdamW([(parameters((2,)), 0.1), (parameters((3,)), 0.4)])
    optimizer.set_multiplier(0.5)
    optimizer.set_multiplier(0.25)
    assert [group.lr for group in optimizer.groups] == [0.025, 0.1]


def test_a_group_without_parameters_is_none() -> None:
    """A model may have no gains, and tied embeddings no head."""
    assert len(AdamW([([], 0.1), (parameters((2,)), 0.1)]).groups) == 1


def optimizers(moved: list[torch.nn.Parameter]) -> list[Optimizer]:
    return [AdamW([(moved, 0.1)]), Muon(moved, 0.1, dtype=torch.float32)]


@pytest.mark.parametrize("which", [0, 1])
def test_a_state_that_is_put_back_goes_on_alike(which: int) -> None:
    """Bit for bit, as if there had been no break."""
    one, other = (parameters((4, 4), (4, 4)) for _ in range(2))
    first, second = optimizers(one)[which], optimizers(other)[which]
    step(first, one)
    with torch.no_grad():
        for parameter, start in zip(other, one, strict=True):
            parameter.copy_(start)
    second.load_state_dict(first.state_dict())
    for _ in range(2):
        step(first, one)
        step(second, other)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("shapes", [((4, 4),), ((4, 4), (4, 2)), ((2, 2), (2, 2))])
def test_a_state_of_other_parameters_is_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    """Fewer groups, more, or other shapes."""
    state = AdamW([(parameters(*shapes), 0.1)]).state_dict()
    with pytest.raises(ValueError, match=r"shape|argument"):
        AdamW([(parameters((4, 4), (4, 4)), 0.1)]).load_state_dict(state)


def test_training_does_not_load_the_compiler(tmp_path: Path) -> None:
    """torch's own optimizers import it at their first step, which costs a short run a second."""
    run = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from trainer.flags import parse_configs
from trainer.loop import train
train(parse_configs(["--preset", "smoke", "--train_tokens", "512", "--output_dir", {str(tmp_path)!r}], "test"))
assert "torch._dynamo" not in sys.modules, "the compiler was imported"
"""
    subprocess.run([sys.executable, "-c", run], check=True, stdout=subprocess.DEVNULL)
