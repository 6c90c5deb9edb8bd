"""A run: what it prints, measures and leaves behind."""

import json
import math
import re
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trainer.config import Configs
from trainer.errors import DivergedError, OutputError
from trainer.loop import Run, train
from trainer.metrics import History, write_metrics

PUBLISHED = {
    "final_metrics",
    "setup_time_seconds",
    "active_training_time_seconds",
    "total_wall_time_seconds",
    "total_time_minutes",
    "actual_steps",
    "tokens_seen",
    "train_tokens",
    "history",
}
OURS = {"tokens_per_second", "peak_memory_bytes", "seed", "configs", "commit", "device", "processes", "diagnosis"}
HISTORY = {"steps", "val_losses", "val_accuracies", "val_perplexities", "elapsed_times", "learning_rates"}


def test_the_metrics_file_holds_what_the_contract_names(
    train_tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With numbers that agree with each other."""
    monkeypatch.setenv("CIRCLE_COMMIT", "abc123")
    run = train_tiny(train_tokens=600, seed=5)
    metrics, history = run.metrics, run.metrics["history"]
    assert metrics.keys() == PUBLISHED | OURS
    assert history.keys() == HISTORY
    assert history["steps"] == [0, 2, 4, 5]
    assert {len(values) for values in history.values()} == {4}
    assert (metrics["actual_steps"], metrics["tokens_seen"], metrics["train_tokens"]) == (5, 640, 600)
    assert (metrics["seed"], metrics["commit"]) == (5, "abc123")
    final = metrics["final_metrics"]
    assert final["val_loss"] == history["val_losses"][-1]
    assert final["val_accuracy"] == history["val_accuracies"][-1]
    assert final["val_perplexity"] == pytest.approx(math.exp(final["val_loss"]))
    assert history["elapsed_times"] == sorted(history["elapsed_times"])
    assert history["elapsed_times"][-1] * 60 <= metrics["total_wall_time_seconds"]
    assert 0 < metrics["active_training_time_seconds"] < metrics["total_wall_time_seconds"]
    assert metrics["peak_memory_bytes"] > 10**7
    assert metrics["tokens_per_second"] > 0


def test_the_settings_are_recorded_as_they_were_used(tiny: Configs, train_tiny: Callable[..., Any]) -> None:
    """Every field; `auto` as the precision that it came to."""
    run = train_tiny(dtype="auto")
    recorded = run.metrics["configs"]
    assert recorded.pop("dtype") in ("bfloat16", "float32")
    expected = asdict(replace(tiny, output_dir=str(run.folder)))
    expected.pop("dtype")
    assert recorded == expected
    assert run.metrics["commit"] is None


def test_progress_lines(train_tiny: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    """The first step, every log_every steps and the last; an evaluation before, between and after."""
    train_tiny(train_tokens=5 * 128, log_every=2, eval_every=3, schedule="constant")
    lines = capsys.readouterr().out.splitlines()
    step = re.compile(r"step (\d+)/5 loss \d+\.\d{4} lr 1\.000 \d+ tok/s")
    evaluation = re.compile(r"eval (\d+)/5 val_loss \d+\.\d{4}")
    assert [m[1] for line in lines if (m := step.fullmatch(line))] == ["1", "2", "4", "5"]
    assert [m[1] for line in lines if (m := evaluation.fullmatch(line))] == ["0", "3", "5"]
    assert len(lines) == 7


def test_the_recorded_rate_follows_the_schedule(train_tiny: Callable[..., Any]) -> None:
    """Muon's rate in the last update before each evaluation."""
    rates = train_tiny(schedule="linear", final_lr_ratio=0.0, muon_lr=0.1).metrics["history"]["learning_rates"]
    assert rates == pytest.approx([0.1, 0.1 * 0.75, 0.1 * 0.25])


def test_training_learns(train_tiny: Callable[..., Any]) -> None:
    """The smallest of runs beats guessing by far."""
    losses = train_tiny(train_tokens=40 * 128, eval_every=20).losses
    assert losses[0] == pytest.approx(math.log(300), abs=0.05)
    assert losses[-1] < 0.7 * losses[0]


def test_a_loss_that_is_not_finite_ends_the_run(
    tiny: Configs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its step line says nan, one sentence says which step, and there is no metrics file."""
    rates = {"adamw_lr": 1e38, "embedding_lr": 1e38, "muon_lr": 1e38}
    with pytest.raises(DivergedError, match=r"^The training loss is not finite at step \d+; lower"):
        train(replace(tiny, output_dir=str(tmp_path), log_every=1000, **rates))
    assert re.fullmatch(r"step \d/4 loss nan lr \d\.\d{3} \d+ tok/s", capsys.readouterr().out.splitlines()[-1])
    assert not list(tmp_path.iterdir())


def test_everything_lies_below_the_output(tiny: Configs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else appears in the current folder or in the data."""
    data = {file: file.stat().st_mtime_ns for file in Path(str(tiny.data_dir)).rglob("*")}
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    metrics = train(replace(tiny, output_dir=str(tmp_path / "out" / "deep")))
    assert not list(Path.cwd().iterdir())
    assert {path.name for path in (tmp_path / "out" / "deep").iterdir()} == {"plots", "checkpoints"}
    assert {path.suffix for path in metrics.parent.iterdir()} == {".json", ".svg"}
    assert data == {file: file.stat().st_mtime_ns for file in Path(str(tiny.data_dir)).rglob("*")}


def test_an_output_that_cannot_be_written_is_told_in_one_sentence(tiny: Configs, tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match=r"out cannot be written \(File exists\); give another --output_dir\.$"):
        train(replace(tiny, output_dir=str(tmp_path / "out")))


def test_a_taken_name_waits_for_the_next_second(tmp_path: Path) -> None:
    """No metrics file is ever overwritten."""
    history = History([0], [1.0], [0.5], [math.e], [0.0], [0.1])
    paths = {write_metrics(tmp_path, 100, {"run": i}, history) for i in range(3)}
    assert len(paths) == 3
    assert sorted(json.loads(path.read_text())["run"] for path in paths) == [0, 1, 2]
    for path in paths:
        assert re.fullmatch(r"metrics_100_\d{8}_\d{6}\.json", path.name)
        time.strptime(path.stem[-15:], "%Y%m%d_%H%M%S")


def test_the_curve_is_an_svg_with_a_dot_for_each_evaluation(train_tiny: Callable[..., Any]) -> None:
    """Well-formed, beside the metrics file."""
    run = train_tiny()
    (curve,) = (run.folder / "plots").glob("metrics_*.svg")
    root = ElementTree.fromstring(curve.read_text())
    assert root.tag.endswith("svg")
    assert len(root.findall("{*}circle")) == len(run.losses)


@pytest.mark.long
def test_a_compiled_model_trains_on_the_same_data(train_tiny: Callable[..., Any]) -> None:
    """Up to rounding; in the original, compiling drew from the generator of the data order."""
    eager, compiled = train_tiny(dtype="float32"), train_tiny(dtype="float32", compile=True)
    assert compiled.metrics["configs"]["compile"]
    assert compiled.losses == pytest.approx(eager.losses, abs=1e-3)


class Reads(TorchDispatchMode):
    """Counts the tensors whose value Python asks for: on a GPU, each is a wait for all that was begun."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_an_update_never_waits_for_the_device(tiny: Configs) -> None:
    """Not even for the loss."""
    run = Run(tiny)
    run.update(1)
    with Reads() as reads:
        for step in (2, 3):
            run.update(step)
        assert reads.count == 0
        run.loss.item()
    assert reads.count == 1
