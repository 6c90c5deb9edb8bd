"""What a run records for its diagnosis: norms that are those of the very update, and phases that leave no time out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.config import PRESETS, Configs
from trainer.diagnosis import LARGEST, Diagnosis, watched_steps
from trainer.loop import Run

GROUPS = ["embedding", "gains", "attention 1", "feed-forward 1", "attention 2", "feed-forward 2", "head"]
PHASES = {"set-up", "data", "forward", "backward", "diagnosis", "optimizer", "evaluation", "saving", "other"}


def norm(tensors: list[torch.Tensor]) -> float:
    return torch.cat([tensor.flatten() for tensor in tensors]).double().norm().item()


def test_the_norms_are_those_of_the_update(tiny: Configs, tmp_path: Path) -> None:
    """Of one step, against the gradient and the weights themselves; the gradient before it is clipped."""
    configs = replace(tiny, output_dir=str(tmp_path), grad_clip=1e-3, dtype="float32")
    run, other = Run(configs), Run(configs)
    matrices = [other.model.blocks[1].feed_forward.up.weight, other.model.blocks[1].feed_forward.down.weight]
    before = [matrix.detach().clone() for matrix in matrices]
    torch.autograd.backward(other.forward(*next(other.batches)))
    gradient = norm([matrix.grad for matrix in matrices if matrix.grad is not None])
    factor = run.update(1)
    run.diagnosis.look_again(1, factor)
    curves = run.diagnosis.read()
    after = [run.model.blocks[1].feed_forward.up.weight, run.model.blocks[1].feed_forward.down.weight]
    moved = norm([b - a for b, a in zip(before, after, strict=True)]) / norm([a.detach() for a in after])
    assert (curves.steps, curves.multipliers) == ([1], [factor])
    assert curves.gradient_norms["feed-forward 2"] == [pytest.approx(gradient, rel=1e-5)]
    assert curves.update_norms["feed-forward 2"] == [pytest.approx(moved, rel=1e-4)]
    assert gradient > 1e-3 and moved > 0
    assert sorted(curves.gradient_norms) == sorted(curves.update_norms) == sorted(GROUPS)


def test_the_metrics_file_holds_the_curves_and_the_phases(train_tiny: Callable[..., Any]) -> None:
    """The phases add up to the run's wall time, and one number belongs to each update that was looked at."""
    run = train_tiny(train_tokens=40 * 128, eval_every=20)
    found = run.metrics["diagnosis"]
    assert found["steps"] == [1, 20, 21, 40]
    assert {len(norms) for kind in ("gradient_norms", "update_norms") for norms in found[kind].values()} == {4}
    assert found["phase_seconds"].keys() == PHASES
    assert min(found["phase_seconds"].values()) >= 0
    assert sum(found["phase_seconds"].values()) == pytest.approx(run.metrics["total_wall_time_seconds"], rel=0.03)
    assert run.metrics["active_training_time_seconds"] < sum(found["phase_seconds"].values())


@pytest.mark.parametrize(("steps", "eval_every"), [(1, 1), (2, 5), (40, 20), (240, 100), (5000, 7), (10**6, 100)])
def test_few_updates_are_looked_at(steps: int, eval_every: int) -> None:
    """The first, the last and the evaluations among them, and one in ten at most."""
    watched = watched_steps(steps, eval_every)
    assert {1, steps} <= watched
    assert len(watched) <= max(3, min(24, steps // 10))
    assert watched <= set(range(1, steps + 1))
    if steps // eval_every < 12:
        assert set(range(eval_every, steps, eval_every)) <= watched


def test_what_is_not_finite_is_written_as_a_large_number() -> None:
    """And a parameter that no gradient reaches, as one that has none."""
    model = torch.nn.Linear(2, 2)
    diagnosis = Diagnosis(model, (1,))
    model.weight.grad = torch.full((2, 2), torch.inf)
    diagnosis.look(1)
    diagnosis.look_again(1, 1.0)
    curves = diagnosis.read()
    assert curves.gradient_norms == {"other": [pytest.approx(LARGEST)], "gains": [0.0]}
    assert curves.update_norms == {"other": [0.0], "gains": [0.0]}


def test_looking_changes_no_weight(tiny: Configs, train_tiny: Callable[..., Any], monkeypatch: Any) -> None:
    """Bit for bit."""
    looked = train_tiny()
    monkeypatch.setattr("trainer.loop.watched_steps", lambda steps, eval_every: frozenset())
    assert train_tiny().weights_sha256 == looked.weights_sha256


def test_the_cpu_preset_is_looked_at_two_dozen_times() -> None:
    """As the curves in the paper have points."""
    configs = PRESETS["cpu"]
    assert 20 <= len(watched_steps(configs.steps, configs.eval_every)) <= 24
