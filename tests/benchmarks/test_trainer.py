"""The benchmarks of the trainer: the peer trains the same model, the figures hang together, and each one runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import nanogpt, scaling, trainer
from benchmarks.shapes import configs_of, flags_of, flops_per_token, prepare_data
from benchmarks.watched import CommandFailed, watch
from trainer.config import PRESETS, Configs

ROOT = Path(__file__).resolve().parents[2]
STEPS = 12
GROUPED_TIED = {"tie_embeddings": True, "zero_init": False, "muon_weight_decay": 0.1, "weight_decay": 0.1}
SEPARATE_PLAIN = {"n_kv_heads": 2, "qk_norm": False, "schedule": "cosine", "warmup_ratio": 0.3, "grad_clip": 0.0}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for prepared data, which the tests share."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def smoke(kept: Path) -> Configs:
    """Settings of a short run on a part of the corpus."""
    tokens = STEPS * PRESETS["smoke"].tokens_per_step
    short = replace(PRESETS["smoke"], train_tokens=tokens, dtype="float32", log_every=1, eval_every=6)
    return replace(short, data_dir=str(prepare_data(kept, short)))


def losses(script: Path, configs: Configs, folder: Path) -> tuple[list[float], float]:
    """The printed loss of every step, and the final validation loss."""
    folder.mkdir()
    flags = flags_of("smoke", replace(configs, output_dir=str(folder)))
    watched = watch(script, flags, threads=1, cwd=folder, peaks=False)
    steps = re.findall(r"^step \d+/\d+ loss (\S+)", "\n".join(watched.lines), re.MULTILINE)
    metrics = json.loads(Path(watched.lines[-1].removeprefix("metrics ")).read_text())
    return [float(loss) for loss in steps], metrics["final_metrics"]["val_loss"]


@pytest.mark.parametrize(
    "changes", [GROUPED_TIED, pytest.param(SEPARATE_PLAIN, marks=pytest.mark.long)], ids=["tied", "plain"]
)
def test_peer_and_trainer_lose_alike(smoke: Configs, changes: dict[str, Any], tmp_path: Path) -> None:
    """Two codes that share no line of model, loss or optimizer agree in float32, step by step."""
    configs = replace(smoke, **changes)
    ours, final = losses(trainer.OURS, configs, tmp_path / "ours")
    theirs, peer_final = losses(trainer.PEER, configs, tmp_path / "peer")
    assert len(ours) == STEPS and ours[0] - ours[-1] > 0.5
    assert theirs == pytest.approx(ours, abs=3e-4) and peer_final == pytest.approx(final, abs=1e-4)


def test_flops_of_a_token_are_those_of_the_products() -> None:
    """Counted one matrix at a time for the smoke preset, with its one key head of two, and checked at 0.80M."""
    d, inner, keys, hidden, vocabulary, time = 32, 32, 16, 64, 512, 64
    block = d * inner + 2 * d * keys + inner * d + 2 * d * hidden
    attention = 2 * 2 * time / 2 * inner  # scores and mixing over half the positions, 2 FLOPs each
    assert flops_per_token(PRESETS["smoke"]) == 3 * (2 * (2 * block + vocabulary * d) + 2 * attention)
    assert flops_per_token(configs_of("cpu", "nanogpt")) == 6 * (786_432 + 257 * 128) + 6 * 4 * 128 * 64


def test_sizes_are_named_after_their_block_parameters() -> None:
    for name, millions in {"1M": 1, "3M": 3, "10M": 10}.items():
        assert trainer.block_parameters(configs_of("cpu", name)) == pytest.approx(millions * 1e6, rel=0.06)


def test_the_comparison_runs(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One round of the smoke preset: both sides, all figures, losses equal."""
    options = ["--preset", "smoke", "--dtypes", "float32", "--rounds", "1", "--train_tokens", "8192", "--json"]
    assert trainer.main([*options, "--data", str(kept)]) == 0
    document = json.loads(capsys.readouterr().out)
    (found,) = document["comparisons"]
    (ours,), (peer,) = found["ours"], found["peer"]
    assert found["equal_loss"] is True and ours["val_loss"] == pytest.approx(peer["val_loss"], abs=1e-3)
    for side in (ours, peer):
        assert side["flops_per_second"] == pytest.approx(side["tokens_per_second"] * found["flops_per_token"])
        assert side["steps_tokens_per_second"] > side["tokens_per_second"] > 0, "the steps alone are the faster figure"
        assert 0 < side["peak_shares"]["float32"] < 1 and side["start_up_seconds"] < side["wall_seconds"]
        assert side["peak_memory_bytes"] > 50e6
    assert found["ratio"]["tokens_per_second"] == pytest.approx(ours["tokens_per_second"] / peer["tokens_per_second"])


def test_the_scaling_runs(kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows at smoke scale, and the figure."""
    figure = tmp_path / "scaling.svg"
    options = ["--preset", "smoke", "--rounds", "1", "--tokens", "2048", "--sizes", ""]
    assert scaling.main([*options, "--data", str(kept), "--side_by_side", "2x1", "--figure", str(figure)]) == 0
    printed = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == ["tokens", "side by side"]
    assert [row[2] for row in rows] == ["1", "2"] and {row[4] for row in rows} == {"2,048"}
    assert figure.read_text().count("<svg") == 1


def test_a_command_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("print('step 1/2')\nraise SystemExit('out of luck')\n")
    with pytest.raises(CommandFailed, match=r"(?s)broken\.py ended with code 1.*out of luck"):
        watch(script, [], threads=1, cwd=tmp_path)
    script.write_text("print('no step at all')\n")
    with pytest.raises(CommandFailed, match="no step at all"):
        watch(script, [], threads=1, cwd=tmp_path, peaks=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sizes", "7M"], "there is no size '7M'"),
        (["--peer", "none"], "neither a Python file nor"),
        (["--rounds", "0"], "1 or more"),
    ],
)
def test_wrong_options_are_told(options: list[str], words: str) -> None:
    command = [sys.executable, "-m", "benchmarks.trainer", *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2 and words in ended.stderr and "Traceback" not in ended.stderr


def test_a_checkout_of_nanogpt_is_told_from_a_file(tmp_path: Path) -> None:
    """Its steps are one more than a multiple of its evaluations, so that it evaluates its last weights."""
    assert not nanogpt.is_checkout(tmp_path) and not nanogpt.is_checkout(trainer.PEER)
    for name in nanogpt.FILES:
        (tmp_path / name).touch()
    assert nanogpt.is_checkout(tmp_path)
    told = nanogpt.overrides(configs_of("cpu", "nanogpt", 1001 * 768))
    assert told["max_iters"] % told["eval_interval"] == 0 and told["max_iters"] in range(998, 1002)
    assert (told["n_layer"], told["n_embd"], told["block_size"], told["batch_size"]) == (4, 128, 64, 12)
