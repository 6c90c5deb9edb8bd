"""Published metrics files of every age: what is read, what is said about it, and what is refused."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agents.baselines import import_files, imported
from agents.errors import UsageError
from agents.published import read_published, summary
from agents.session import Home
from tests.commands import circle

BARE = {"final_metrics": {"val_loss": 4.9413}}
OLDER = {
    "final_metrics": {"val_loss": 4.8387, "val_accuracy": 0.245, "val_perplexity": 126.3, "train_loss": 4.7408},
    "setup_time_seconds": 5.6,
    "active_training_time_seconds": 119.0,
    "total_wall_time_seconds": 124.6,
    "total_time_minutes": 2.08,
    "actual_steps": 489,
    "tokens_seen": 8_011_776,
    "train_tokens": 8_000_000,
    "history": {"steps": [0, 489], "val_losses": [10.8868, 4.8387]},
}
MARCH = OLDER | {
    "final_metrics": {"val_loss": 4.9160},
    "experiment_config": {"seed": 42, "muon_lr": 0.024, "model_config": {"d_model": 512}},
    "summary": {"mean_val_loss_after_warmup": 5.2, "final_val_loss": 4.9160},
    "peak_gpu_memory_gb": 8.79,
}
TODAY = OLDER | {"seed": 7, "configs": {"seed": 7, "vocab_size": 2048}, "commit": "c0ffee", "device": "cpu"}


def written(folder: Path, **documents: Any) -> Path:
    """Write each document as NAME.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return folder


def test_files_of_every_age_say_what_they_lack(tmp_path: Path) -> None:
    figures = read_published([written(tmp_path, a_bare=BARE, b_older=OLDER, c_march=MARCH, d_today=TODAY)])
    bare, older, march, today = figures
    assert [figure["val_loss"] for figure in figures] == [4.9413, 4.8387, 4.9160, 4.8387]
    assert bare["missing"] == ["train_tokens", "actual_steps", "seed", "configs", "commit", "device", "history"]
    assert older["missing"] == ["seed", "configs", "commit", "device"] and older["evaluations"] == 2
    assert march["missing"] == ["commit", "device"] and march["seed"] == 42
    assert today["missing"] == [] and today["seed"] == 7


def test_whole_numbers_come_as_whole_numbers(tmp_path: Path) -> None:
    """However they were written; a seed that is no number is none."""
    (figure,) = read_published([written(tmp_path, a=OLDER | {"train_tokens": 8e6, "seed": {"a": 1}})])
    assert repr(figure["train_tokens"]) == "8000000"
    assert figure["seed"] is None and "seed" in figure["missing"]


def test_the_summary_alone_gives_the_loss(tmp_path: Path) -> None:
    (figure,) = read_published([written(tmp_path, summary={"summary": {"final_val_loss": 5.0}})])
    assert figure["val_loss"] == 5.0


def test_folders_and_patterns_are_read_once_each(tmp_path: Path) -> None:
    written(tmp_path / "runs" / "deep", metrics_2=OLDER, configs={"seed": 1})
    written(tmp_path / "runs" / ".cache", metrics_3=BARE)
    first = written(tmp_path / "runs", metrics_1=BARE) / "metrics_1.json"
    names = [Path(f["file"]).name for f in read_published([first, tmp_path / "runs", tmp_path / "*" / "deep" / "m*"])]
    assert sorted(names) == ["metrics_1.json", "metrics_2.json"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"final_metrics": {"val_loss": ', "damaged"),
        ('{"final_metrics": {"val_loss": NaN}}', "no figure"),
        ('{"final_metrics": {"val_loss": true}}', "no figure"),
        ('{"final_metrics": {"val_loss": "4.9"}}', "no figure"),
        ('{"final_metrics": {"val_loss": 1' + "0" * 400 + "}}", "no figure"),
        ('{"final_metrics": [4.9]}', "no final_metrics.val_loss"),
        ("[]", "no final_metrics.val_loss"),
        ("[" * 100_000, "damaged"),
        ("\x00\x01", "damaged"),
    ],
)
def test_a_file_that_gives_no_figure_is_told(tmp_path: Path, content: str, words: str) -> None:
    file = written(tmp_path, bad=content) / "bad.json"
    with pytest.raises(UsageError, match=words):
        read_published([file])


def test_one_bad_file_keeps_all_out_and_each_has_its_sentence(home: Home, tmp_path: Path) -> None:
    runs = written(tmp_path / "runs", good=BARE, cut="{", inf='{"final_metrics": {"val_loss": Infinity}}')
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError) as refused:
        import_files(home, [runs, empty, tmp_path / "none.json", tmp_path / "x*.json"])
    sentences = str(refused.value).splitlines()
    assert len(sentences) == 6 and sentences[-1] == "Nothing was imported."
    told = {
        "cut.json": "damaged",
        "inf.json": "no figure",
        "empty": "holds no",
        "none.json": "no such",
        "x*": "matches",
    }
    assert all(any(name in line and words in line for line in sentences) for name, words in told.items())
    assert imported(home) == []


def test_a_second_import_replaces_by_path(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(written(tmp_path / "runs", a=BARE, b=OLDER))
    import_files(home, [Path("a.json"), Path("b.json")])
    written(tmp_path / "runs", a={"final_metrics": {"val_loss": 4.0}})
    import_files(home, [tmp_path / "runs" / "a.json"])
    assert [item["val_loss"] for item in imported(home)] == [4.0, 4.8387]


def test_what_all_are_good_for(home: Home, tmp_path: Path) -> None:
    fits = BARE | {"train_tokens": 2400}
    shown = import_files(
        home, [written(tmp_path / "r", a=OLDER, b=MARCH, copy=OLDER, bare=BARE, fits=fits, today=TODAY)]
    )
    limits = {Path(item["file"]).stem: " ".join(item["limits"]) for item in shown["imported"]}
    assert "does not say seed, configs, commit, device" in limits["a"] and "do not compare" in limits["a"]
    assert "as preset small does" in limits["fits"] and "is unknown" in limits["bare"]
    assert "this machine did not train it" in limits["today"]
    together = shown["imported_summary"]
    assert (together["n"], together["copies"], together["preset_tokens"]) == (6, 1, 2400)
    one, eight = together["groups"]
    assert (one["train_tokens"], one["n"], one["std"]) == (2400, 1, None)
    assert (eight["n"], eight["low"], eight["high"]) == (3, 4.8387, 4.9160)
    assert eight["mean"] == pytest.approx((4.8387 * 2 + 4.9160) / 3) and eight["std"] == pytest.approx(0.0446292)
    assert "5 of 6" in together["cannot"] and "1 was trained on as many tokens" in together["cannot"]


def test_figures_on_record_from_before_are_still_shown() -> None:
    together = summary([{"file": "metrics.json", "val_loss": 4.9}], "small", None)
    assert together["groups"] == [] and "1 of 1" in together["cannot"]


def test_many_files_after_one_option(plain: Path, tmp_path: Path) -> None:
    runs = written(tmp_path / "runs", a=OLDER, b=MARCH, c=BARE)
    files = [str(file) for file in sorted(runs.iterdir())]
    shown = circle(plain, "baseline", "--import", *files, "--json")
    assert [item["file"] for item in json.loads(shown.stdout)["imported"]] == files
    lines = circle(plain, "baseline", "--import", str(runs / "c.json")).stdout.splitlines()
    assert [line.split("  ")[1] for line in lines[:3]] == ["4.8387", "4.9160", "4.9413"]
    assert lines[3].startswith("8,000,000 tokens: 2 figures, 4.8773 ± 0.0547")


def test_a_terminal_gets_a_table(plain: Path, tmp_path: Path) -> None:
    runs = written(tmp_path / "runs", **{"[red]": OLDER})
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "agents.cli", "baseline", "--import", str(runs)]
    environment = os.environ | {"COLUMNS": "200", "TERM": "xterm"}
    subprocess.run(command, cwd=plain, stdout=follower, env=environment, check=True)
    os.close(follower)
    with os.fdopen(leader, "rb") as screen:
        shown = screen.read1(1 << 16).decode()
    assert "Imported, for reference only" in shown and "[red].json" in shown and "seed, configs, commit" in shown
