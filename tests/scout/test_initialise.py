"""circle init on real repos: the examples are taken as they are, and what cannot be a target is told in a sentence."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.commands import ROOT, circle, git, session_id, shown

KEYLESS = {"ANTHROPIC_API_KEY": "", "ANTHROPIC_BASE_URL": ""}
TRAIN = """
import argparse, pathlib, random
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--out", default="out")
parser.add_argument("--rate", type=float, default=0.1)
args = parser.parse_args()
random.seed(args.seed)
loss = sum(random.random() for _ in range(args.steps)) / args.steps
out = pathlib.Path(args.out)
out.mkdir(exist_ok=True)
print("val_loss", loss)
"""


def repo(folder: Path, **files: str) -> Path:
    """Commit files as a repository."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "Training")
    return folder


def example(folder: Path, name: str) -> dict[str, Any]:
    """Commit an example as a repository, have its circle.toml written, and commit that."""
    shutil.copytree(ROOT / "examples" / name, folder)
    repo(folder)
    made = circle(folder, "init", ".")
    assert made.returncode == 0, made.stderr
    assert "self-reported" in made.stdout and "git add circle.toml" in made.stdout
    assert git(folder, "status", "--porcelain").split() == ["??", "circle.toml"]
    git(folder, "add", "circle.toml")
    git(folder, "commit", "-qm", "How Circle trains this")
    return tomllib.loads((folder / "circle.toml").read_text())


def test_a_numpy_repo_is_searched_for_a_better_rate(tmp_path: Path) -> None:
    """From no circle.toml to a verdict, without a change to the target and without a key."""
    folder = tmp_path / "spirals"
    toml = example(folder, "numpy_spirals")
    assert toml["train"]["command"][1:] == ["train.py", "--seed", "{seed}", "--steps", "{length}", "--out", "{output}"]
    assert toml["metric"]["value"] == "val_loss" and toml["metric"]["history"] == "val_losses"
    assert set(toml["search"]) == {"learning-rate", "momentum", "width", "batch-size"}
    started = circle(folder, "start", "--turbo", "--max-versions", "3", "--secret", "5eed", "learning-rate", **KEYLESS)
    assert started.returncode in (0, 3), started.stderr
    session = shown(folder, session_id(started.stderr))
    assert session["researcher"] == "search" and session["self_reported_metric"]
    assert all(set(version["flags"]) and version["verdict"] for version in session["versions"])
    assert circle(folder, "replay", session["id"]).returncode == 0


@pytest.mark.long
def test_a_scikit_learn_repo_is_told_by_variables(tmp_path: Path) -> None:
    """A higher accuracy is better, read from a table; judge and its self-test work at once."""
    folder = tmp_path / "digits"
    toml = example(folder, "sklearn_digits")
    assert toml["train"]["settings"] == {"SEED": "{seed}", "EPOCHS": "{length}", "RESULTS_DIR": "{output}"}
    assert (toml["metric"]["file"], toml["metric"]["value"], toml["metric"]["direction"]) == (
        "history.csv", "test_accuracy", "max",
    )  # fmt: skip
    judged = circle(folder, "judge", "--flags", "--LEARNING_RATE 0.005", "--json", "--secret", "5eed")
    assert judged.returncode == 0, judged.stderr
    version = json.loads(judged.stdout)
    assert version["verdict"]["outcome"] == "win" and version["experiment"]["effect"] > 0
    null = circle(folder, "judge", "--null", "--seeds", "8", "--json")
    assert null.returncode == 0 and json.loads(null.stdout)["identical"], null.stderr


@pytest.mark.long
def test_a_torch_repo_is_told_by_a_yaml_file(tmp_path: Path) -> None:
    """Its metric is a line that it prints."""
    folder = tmp_path / "waves"
    toml = example(folder, "torch_waves")
    assert toml["flags"] == {"style": "yaml", "file": "config.yaml"}
    assert toml["metric"]["name"] == "validation mse" and "pattern" in toml["metric"]
    judged = circle(folder, "judge", "--flags", "--optimizer.momentum 0.9", "--json", "--secret", "5eed")
    assert judged.returncode == 0, judged.stderr
    assert json.loads(judged.stdout)["verdict"]["outcome"] == "win"


@pytest.mark.parametrize(
    ("replaced", "by", "message"),
    [
        ('"--seed"', '"--number"', "No setting of train.py is named as a seed"),
        ("args = parser", 'parser.add_argument("--opt", required=True)\nargs = parser', "--words of circle init"),
        ('print("val_loss", loss)', 'print("val_loss", float("nan"))', "gives val_loss as nan"),
        ("random.seed(args.seed)", "random.seed(0)", "are identical"),
        ("random.seed(args.seed)", "random.seed()", "does not set all that is random"),
        ('print("val_loss", loss)', 'print("done")', "reports no metric"),
        ('print("val_loss", loss)', 'print("done", 1.0, "time 3")', "reports no metric"),
        (
            "out = pathlib.Path(args.out)",
            'out = pathlib.Path("results")\nopen("log.txt", "w")',
            "writes log.txt, outside",
        ),
        ("out = pathlib.Path(args.out)", 'out = pathlib.Path("/results")', "outside its run's folder"),
        ("random.seed(args.seed)", "import no_such_module", "No module named 'no_such_module'"),
        ("random.seed(args.seed)", "raise SystemExit(3)", "exit code 3"),
    ],
    ids=[
        "no seed",
        "required",
        "not finite",
        "seed unused",
        "seed ignored",
        "no metric",
        "no measure",
        "beside",
        "elsewhere",
        "crash",
        "silent",
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(tmp_path: Path, replaced: str, by: str, message: str) -> None:
    """Nothing is written then."""
    assert replaced in TRAIN
    folder = repo(tmp_path / "target", **{"train.py": TRAIN.replace(replaced, by)})
    made = circle(folder, "init")
    assert made.returncode == 1 and message in made.stderr.splitlines()[-1], made.stderr
    assert "Traceback" not in made.stderr and not (folder / "circle.toml").exists()


def test_a_metric_and_a_direction_can_be_named(tmp_path: Path) -> None:
    folder = repo(tmp_path / "target", **{"train.py": TRAIN + 'print("score", 2 * loss)\n'})
    assert circle(folder, "init", "--metric", "score", "--direction", "min").returncode == 0
    metric = tomllib.loads((folder / "circle.toml").read_text())["metric"]
    assert (metric["name"], metric["direction"]) == ("score", "min")
    (folder / "circle.toml").unlink()
    missing = circle(folder, "init", "--metric", "speed")
    assert missing.returncode == 1 and "reports no speed; the numbers that it reports are: " in missing.stderr


def test_a_circle_toml_that_is_there_is_checked_and_stays(tmp_path: Path) -> None:
    folder = repo(tmp_path / "target", **{"train.py": TRAIN})
    assert circle(folder, "init").returncode == 0
    text = (folder / "circle.toml").read_text()
    checked = circle(folder, "init")
    assert checked.returncode == 0 and "it is as it was" in checked.stdout
    refused = circle(folder, "init", "--metric", "val_loss")
    assert refused.returncode == 2 and "is only checked" in refused.stderr
    broken = text.replace('"{seed}"', '"5"')
    (folder / "circle.toml").write_text(broken)
    told = circle(folder, "init")
    assert told.returncode == 1 and "are identical" in told.stderr
    assert (folder / "circle.toml").read_text() == broken


@pytest.mark.parametrize("kind", ["no folder", "no repository", "no script", "no commit"])
def test_what_is_no_training_repo_is_told(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "target"
    if kind == "no repository":
        folder.mkdir()
    elif kind == "no script":
        repo(folder, **{"README.md": "words"})
    elif kind == "no commit":
        folder.mkdir()
        git(folder, "init", "-q")
    told = circle(tmp_path, "init", str(folder))
    assert told.returncode == 1 and len(told.stderr.strip().splitlines()) == 1 and "Traceback" not in told.stderr


def test_a_script_in_a_package_with_constants_alone(tmp_path: Path) -> None:
    """It is run as a module, and each run has its own copy of it."""
    code = (
        "import random\nfrom . import scale\nSEED = 0\nSTEPS = 20\nRATE = 0.1\n\n"
        "random.seed(SEED)\nprint('val_loss', scale.BY * sum(random.random() for _ in range(STEPS)) / STEPS + RATE)\n"
    )
    folder = tmp_path / "target"
    (folder / "toy").mkdir(parents=True)
    (folder / "toy" / "__init__.py").touch()
    (folder / "toy" / "scale.py").write_text("BY = 2.0\n")
    (folder / "toy" / "train.py").write_text(code)
    repo(folder)
    made = circle(folder, "init")
    assert made.returncode == 0, made.stderr
    toml = tomllib.loads((folder / "circle.toml").read_text())
    assert toml["train"]["command"] == ["{python}", "-m", "toy.train"]
    assert toml["train"]["settings"] == {"SEED": "{seed}", "STEPS": "{length}"}
    assert toml["flags"] == {"style": "python", "file": "toy/train.py", "dataclass": ""}


def test_a_short_run_is_long_enough_for_the_metric(tmp_path: Path) -> None:
    """One that is told every few steps is there at the short length, too; the training loss is not taken for it."""
    every = TRAIN.replace("default=20", "default=400").replace(
        'print("val_loss", loss)',
        "for step in range(1, args.steps + 1):\n"
        '    print("step", step, "train loss", 1.0)\n'
        '    if step % 100 == 0:\n        print(f"val_loss: {loss} (best val_loss: {loss / 2})")',
    )
    folder = repo(tmp_path / "target", **{"train.py": every})
    made = circle(folder, "init")
    assert made.returncode == 0, made.stderr
    toml = tomllib.loads((folder / "circle.toml").read_text())
    assert toml["metric"]["name"] == "val_loss" and toml["presets"]["default"]["short_length"] == 200
    assert circle(folder, "init").returncode == 0, "what it writes stands its own check"
    random = Random(1)
    assert _losses(made.stdout)[0] == str(sum(random.random() for _ in range(400)) / 400), "not the best one's half"


def _losses(printed: str) -> list[str]:
    return [line.split("val_loss ")[1].split(",")[0] for line in printed.splitlines() if line.startswith("run ")]


@pytest.mark.parametrize(("files", "command"), [
    (["src/toy/__init__.py", "src/toy/train.py", "src/toy/scale.py"],
     ["env", "PYTHONPATH=src", "{python}", "-m", "toy.train"]),
    (["scripts/train.py", "toy/scale.py"], ["{python}", "-m", "scripts.train"]),
    (["toy/__init__.py", "toy/__main__.py", "toy/scale.py"], ["{python}", "-m", "toy"]),
], ids=["src", "scripts", "main"])  # fmt: skip
def test_a_module_is_run_as_one(tmp_path: Path, files: list[str], command: list[str]) -> None:
    folder = tmp_path / "target"
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        text = {"scale.py": "BY = 2.0\n", "__init__.py": ""}.get(Path(name).name, f"from toy import scale\n{TRAIN}")
        (folder / name).write_text(text)
    repo(folder)
    made = circle(folder, "init")
    assert made.returncode == 0, made.stderr
    words = tomllib.loads((folder / "circle.toml").read_text())["train"]["command"]
    assert words[: len(command)] == command


def test_what_a_command_needs_beside_can_be_said(tmp_path: Path) -> None:
    needs = TRAIN.replace("args = parser", 'parser.add_argument("--opt", required=True)\nargs = parser')
    folder = repo(tmp_path / "target", **{"train.py": needs})
    assert circle(folder, "init", "--words", "--opt adam").returncode == 0
    assert tomllib.loads((folder / "circle.toml").read_text())["train"]["command"][-2:] == ["--opt", "adam"]


def test_an_evaluation_that_fails_on_the_hidden_split_is_found(tmp_path: Path) -> None:
    """A session would find it only at its confirmation."""
    folder = repo(tmp_path / "target", **{"train.py": TRAIN, "evaluate.py": "import sys\nprint('{\"value\": 1}')\n"})
    assert circle(folder, "init").returncode == 0
    toml = (folder / "circle.toml").read_text()
    broken = 'import sys\nsys.argv[2] == "hidden" and sys.exit("no such split")\nprint(\'{"value": 1.0}\')\n'
    (folder / "evaluate.py").write_text(broken)
    git(folder, "commit", "-qam", "An evaluation")
    (folder / "circle.toml").write_text(
        toml + '\n[evaluation]\ncommand = ["{python}", "evaluate.py", "--split", "{split}"]\n'
    )
    told = circle(folder, "init")
    assert told.returncode == 1 and "no such split" in told.stderr


def test_data_that_git_does_not_know_can_be_read(tmp_path: Path) -> None:
    """A folder of data beside the code is the same for every run, and a baseline is another one when it changes."""
    reads = TRAIN.replace("loss = ", 'noise = float(pathlib.Path("data/noise.txt").read_text())\nloss = noise * ')
    folder = repo(tmp_path / "target", **{"train.py": reads, ".gitignore": "data/\n"})
    (folder / "data").mkdir()
    (folder / "data" / "noise.txt").write_text("0.5")
    made = circle(folder, "init")
    assert made.returncode == 0, made.stderr
    assert tomllib.loads((folder / "circle.toml").read_text())["data"] == {"folders": ["data"]}
    git(folder, "add", "circle.toml")
    git(folder, "commit", "-qm", "How Circle trains this")
    first = json.loads(circle(folder, "baseline", "--json").stdout)
    (folder / "data" / "noise.txt").write_text("0.25")
    second = json.loads(circle(folder, "baseline", "--json").stdout)
    assert first["key"] != second["key"] and 0 < second["mean"] < 0.75 * first["mean"]
