"""The metric of a run is found in its files or in what it printed, and read there by the laboratory's own reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.laboratory.reports import NotFinite, ReportMissing, read_report
from agents.scout.found import named, places, progress, weights
from agents.settings import Metric


def metric_of(output: Path, log: Path, name: str = "") -> Metric:
    found = places(output, log.read_text())
    place = named(found, name) if name else found[0]
    assert place is not None
    return Metric(name=place.name, direction=place.direction, history=place.history, **place.keys)


@pytest.mark.parametrize(
    ("files", "log", "name", "value", "direction"),
    [
        ({"metrics.json": '{"train_loss": 1, "val_loss": 2, "seconds": 3}'}, "", "val_loss", 2.0, "min"),
        ({"a/summary.json": '{"final": {"accuracy": 0.5, "seconds": 1}}'}, "", "final.accuracy", 0.5, "max"),
        ({"run_1700/m_12.json": '{"test/mse": 0.25}'}, "", "test/mse", 0.25, "min"),
        ({"log.jsonl": '{"step": 1, "loss": 3}\n{"step": 2, "loss": 2}\n'}, "", "loss", 2.0, "min"),
        ({"log.csv": "epoch,val_acc,train_loss\n1,0.5,3\n2,0.75,2\n"}, "", "val_acc", 0.75, "max"),
        ({"log.tsv": "epoch\tvalid_loss\n1\t0.5\n2\t\n"}, "", "valid_loss", 0.5, "min"),
        ({}, "step 1 loss 3.0\nval loss: 1.50 (best 1.4)\nval loss: 1.25e-1\n", "val loss", 0.125, "min"),
        ({}, "epoch 1/2 train_loss=3.0 val_loss=2.0\nepoch 2/2 train_loss=2.0 val_loss=1.0\n", "val_loss", 1.0, "min"),
        ({}, "val loss: 0.5 (best val loss: 0.25, time 3.2s)\n", "val loss", 0.5, "min"),
        ({}, "val_acc 0.5 val_loss 1.5\n", "val_loss", 1.5, "min"),
        ({}, "Test accuracy = 0.91\n", "Test accuracy", 0.91, "max"),
        ({"config.json": '{"dropout": 0.1}'}, "loss 4.5\n", "loss", 4.5, "min"),
    ],
)
def test_the_likeliest_number_is_taken_and_read(
    tmp_path: Path, files: dict[str, str], log: str, name: str, value: float, direction: str
) -> None:
    output, printed = tmp_path / "output", tmp_path / "log.txt"
    printed.write_text(log)
    for file, text in files.items():
        (output / file).parent.mkdir(parents=True, exist_ok=True)
        (output / file).write_text(text)
    output.mkdir(exist_ok=True)
    metric = metric_of(output, printed)
    assert (metric.name, metric.direction) == (name, direction)
    assert read_report(output, metric, printed).value == value


def test_a_loss_that_is_lost_is_not_read_as_the_one_before(tmp_path: Path) -> None:
    """The last line counts, whatever it says."""
    printed = tmp_path / "log.txt"
    printed.write_text("val_loss 1.0\nval_loss 0.5\n")
    metric = metric_of(tmp_path, printed)
    printed.write_text("val_loss 1.0\nval_loss nan\n")
    with pytest.raises(NotFinite, match="as nan"):
        read_report(tmp_path, metric, printed)


def test_history_settings_and_weights_are_found(tmp_path: Path) -> None:
    document = {"val_loss": 1.0, "val_losses": [3.0, 1.0], "config": {"val_loss": 9, "lr": 0.1}}
    (tmp_path / "m-1.json").write_text(json.dumps(document))
    (tmp_path / "small.npz").write_bytes(b"1")
    (tmp_path / "step-100.pt").write_bytes(b"12")
    (place,) = places(tmp_path, "")
    assert (place.history, place.configs, place.keys["file"]) == ("val_losses", "config", "m-*.json")
    assert weights(tmp_path) == "step-*.pt"


def test_a_person_names_the_metric(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"eval": {"loss": 1.0, "error": 2.0}}')
    found = places(tmp_path, "")
    values = {name: place and place.value for name in ("eval.error", "error", "no") for place in [named(found, name)]}
    assert values == {"eval.error": 2.0, "error": 2.0, "no": None}


def test_steps_are_found_where_a_line_has_their_number() -> None:
    assert progress("step 1/9 loss 3.0\n") and progress("Epoch: 1 of 3, lr 0.1, Loss: 2.5\n")
    assert progress("1 2 3\nloss 3\n") == ""


@pytest.mark.parametrize(
    ("files", "metric", "message"),
    [
        ({"m.csv": "a,b\n1,2\n"}, {"file": "m.csv", "value": "loss"}, "loss"),
        ({"m.csv": "loss\n\n"}, {"file": "m.csv", "value": "loss"}, "has no number"),
        ({"m.csv": "loss\nhigh\n"}, {"file": "m.csv", "value": "loss"}, "high"),
        ({"m.jsonl": '{"loss": 1}\nbroken\n'}, {"file": "m.jsonl", "value": "loss"}, "cannot be used"),
        ({"log": "quiet\n"}, {"pattern": r"loss (?P<value>\S+)"}, "no line"),
        ({"log": "loss low\n"}, {"pattern": r"loss (?P<value>\S+)"}, "cannot be read"),
        ({"log": "loss nan\n"}, {"pattern": r"loss (?P<value>\S+)"}, "as nan"),
    ],
)
def test_a_report_that_is_none_is_told(
    tmp_path: Path, files: dict[str, str], metric: dict[str, str], message: str
) -> None:
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    with pytest.raises(ReportMissing, match=message):
        read_report(tmp_path, Metric(name="loss", direction="min", **metric), tmp_path / "log")
