"""Curves and verdicts in TensorBoard and MLflow: what the session measured, and nothing of the hidden split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands import circle

JUDGE = ("judge", "--flags", "--intercept true", "--no-sandbox", "--secret", "5eed", "--json")


def judged(folder: Path, tracker: str, **environment: str) -> dict[str, Any]:
    ended = circle(folder, *JUDGE, "--track", tracker, **environment)
    assert ended.returncode == 0, ended.stderr
    assert "tracking" in ended.stderr
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


def test_tensorboard_has_every_run_and_the_verdict(plain: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    version = judged(plain, "tensorboard")
    (folder,) = (plain / ".circle" / "sessions").glob("*/tensorboard")
    entries = sorted(entry.name for entry in folder.iterdir())
    assert "V1 win" in entries and "victory" in entries
    pair = next(pair for pair in version["experiment"]["pairs"] if pair["stage"] == "screen")
    (screened,) = [name for name in entries if name.startswith(f"screen experiment seed {pair['seed']} ")]
    events = EventAccumulator(str(folder / screened), size_guidance={"tensors": 0})
    events.Reload()
    (visible,) = [float(event.tensor_proto.float_val[0]) for event in events.Tensors("visible")]
    assert visible == pytest.approx(pair["experiment"], rel=1e-6) and len(events.Tensors("loss")) > 10
    confirmed = [name for name in entries if name.startswith("confirm")]
    assert confirmed
    for name in confirmed:
        events = EventAccumulator(str(folder / name))
        events.Reload()
        assert set(events.Tags()["tensors"]) <= {"loss", "seconds per step"}


@pytest.mark.long
def test_mlflow_has_every_run_and_the_verdict(plain: Path, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    version = judged(plain, "mlflow", MLFLOW_TRACKING_URI=uri)
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(f"circle-{version['session']}")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id], max_results=1000)}
    assert runs["V1 win"].data.tags["finding"] == version["verdict"]["finding"]
    assert runs["victory"].data.metrics["effect"] == pytest.approx(version["experiment"]["effect"])
    screened = next(run for name, run in runs.items() if name.startswith("screen experiment"))
    assert screened.data.tags["flags"] == "intercept=true" and screened.info.status == "FINISHED"
    assert len(client.get_metric_history(screened.info.run_id, "loss")) > 10


def test_a_tracker_that_cannot_be_written_is_told(plain: Path) -> None:
    pytest.importorskip("mlflow")
    (plain.parent / "file").touch()
    ended = circle(plain, *JUDGE, "--track", "mlflow", MLFLOW_TRACKING_URI=f"sqlite:///{plain.parent}/file/x.db")
    assert ended.returncode == 1 and "cannot be written" in ended.stderr and "Traceback" not in ended.stderr


def test_an_unknown_tracker_is_told(plain: Path) -> None:
    ended = circle(plain, *JUDGE, "--track", "wandb")
    assert ended.returncode == 2 and "there are: tensorboard, mlflow" in ended.stderr
