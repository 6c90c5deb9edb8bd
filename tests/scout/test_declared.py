"""Settings as scripts declare them, in each style, and their roles."""

from __future__ import annotations

import pytest

from agents.scout.declared import Setting, is_output, is_seed, length_rank, settings_of
from agents.scout.survey import dimension

ARGUMENTS = """
import argparse
from lib.options import extend
parser = argparse.ArgumentParser()
parser.add_argument("--lr", "-l", type=float, default=1e-3)
parser.add_argument("--amp", action="store_true")
parser.add_argument("--activation", choices=["relu", "gelu"], default="relu")
parser.add_argument("data")
"""
CLICK = """
import click
@click.option("--max-steps", default=10)
@click.option("--fast/--slow", is_flag=True)
def main(max_steps, fast): ...
"""
FIELDS = """
import argparse
from dataclasses import fields
from settings import Configs
parser = argparse.ArgumentParser()
for field in fields(Configs):
    parser.add_argument(f"--{field.name}", default=field.default)
"""
CONFIGS = "from dataclasses import dataclass\n@dataclass\nclass Configs:\n    seed: int = 0\n    rate: float = 0.1\n"


def found(files: dict[str, str], script: str = "train.py") -> dict[str, Setting]:
    return {setting.name: setting for setting in settings_of(files, script)}


def test_a_command_line_is_read_with_what_it_imports() -> None:
    extra = "def extend(parser):\n    parser.add_argument('--seed', type=int, default=3)\n"
    seen = found({"train.py": ARGUMENTS, "lib/options.py": extra, "other.py": "parser.add_argument('--no')"})
    assert list(seen) == ["lr", "amp", "activation", "seed"]
    assert (seen["lr"].default, seen["amp"].bare, seen["amp"].default) == (0.001, True, False)
    assert seen["activation"].choices == ("relu", "gelu") and is_seed(seen["seed"])
    clicked = found({"train.py": CLICK})
    assert clicked["max-steps"].default == 10 and clicked["fast"].bare


def test_fields_of_a_dataclass_are_flags_where_a_parser_is_made_of_them() -> None:
    seen = found({"train.py": FIELDS, "settings.py": CONFIGS})
    assert [(one.style, one.file, one.dataclass) for one in seen.values()] == [
        ("arguments", "settings.py", "Configs")
    ] * 2
    assert found({"train.py": "import settings", "settings.py": CONFIGS}) == {}


def test_variables_yaml_and_python_files() -> None:
    variables = (
        "import os\nrate = float(os.environ.get('RATE', '0.1'))\nseed = os.environ['SEED']\nx = os.getenv('X')\n"
    )
    seen = found({"train.py": variables})
    assert {name: one.default for name, one in seen.items()} == {"RATE": 0.1, "SEED": None, "X": None}
    yaml = found(
        {"a/train.py": "open('config.yaml')", "a/config.yaml": "opt: {lr: 0.1}\nseed: 1\nitems: [1]\n"}, "a/train.py"
    )
    assert {name: (one.default, one.style) for name, one in yaml.items()} == {
        "opt.lr": (0.1, "yaml"),
        "seed": (1, "yaml"),
    }
    python = found({"train.py": "import config", "config.py": "seed = 1\n_private = 2\nrates = [1]\nname = 'a'\n"})
    assert {name: one.style for name, one in python.items()} == {"seed": "python", "name": "python"}


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("seed", "seed"), ("random-seed", "seed"), ("run.seed", "seed"), ("SEED", "seed"), ("random_state", "seed"),
        ("seed_data_path", ""), ("output_dir", "output"), ("out", "output"), ("save-dir", "output"),
        ("logdir", "output"), ("outer", ""), ("model", ""), ("train_tokens", "length 0"), ("max_steps", "length 1"),
        ("max_iters", "length 1"), ("num_train_epochs", "length 2"), ("epochs", "length 2"),
        ("n_estimators", "length 3"), ("warmup_steps", ""), ("eval_iters", ""), ("learning_rate", ""),
    ],
)  # fmt: skip
def test_a_role_is_told_by_the_name(name: str, role: str) -> None:
    setting = Setting(name, None, "arguments")
    rank = length_rank(setting)
    told = (
        "seed" if is_seed(setting) else "output" if is_output(setting) else f"length {rank}" if rank is not None else ""
    )
    assert told == role


@pytest.mark.parametrize(
    ("name", "default", "low", "high"),
    [("lr", 0.01, 0.001, 0.1), ("dropout", 0.0, 0.0, 0.95), ("beta2", 0.95, 0.0, 0.99), ("width", 16, 4.0, 64.0)],
)
def test_a_space_lies_around_the_default(name: str, default: float, low: float, high: float) -> None:
    space = dimension(Setting(name, default, "arguments"))
    assert space is not None and (space.low, space.high, space.default) == (low, high, default)


def test_what_has_no_sensible_space_has_none() -> None:
    assert all(dimension(Setting("x", default, "arguments")) is None for default in (None, "adam", 0, 1, 0.0, -0.5))
    switch = dimension(Setting("tied", True, "arguments"))
    assert switch is not None and switch.choices == (False, True)


def test_constants_of_the_script_are_its_last_resort() -> None:
    """Where nothing else has a seed, the script's own constants are its settings."""
    seen = found({"train.py": "SEED = 1\nRATE = 0.1\n"})
    assert {name: (one.style, one.file) for name, one in seen.items()} == {
        "SEED": ("python", "train.py"),
        "RATE": ("python", "train.py"),
    }
    both = found({"train.py": "p.add_argument('--seed', type=int)\nRATE = 0.1\n"})
    assert list(both) == ["seed"]


def test_a_json_file_is_read_as_yaml_is() -> None:
    seen = found({"train.py": "open('config.json')", "config.json": '{"a": {"lr": 0.1}}'})
    assert [(one.name, one.style, one.file) for one in seen.values()] == [("a.lr", "yaml", "config.json")]
