"""Flags reach a run in variables, in a Python file or in a YAML file, and nothing in the target changes for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agents.declarations import declared, rewritten
from agents.errors import TargetError
from agents.settings import Flags
from tests.commands import TARGETS, circle, git, shown

YAML = Flags(style="yaml", file="config.yaml")
JSON = Flags(style="yaml", file="config.json")
MODULE = Flags(style="python", file="settings.py", dataclass="")
FIELDS = Flags(style="python", file="settings.py", dataclass="C")

_SETTINGS = {
    "environment": """
import os
from types import SimpleNamespace
names = {"seed": int, "train_tokens": int, "output_dir": str, "rate": float, "batch": int}
defaults = {"rate": "0.01", "batch": "8", "intercept": "false"}
told = defaults | dict(os.environ)
configs = SimpleNamespace(**{name: kind(told[name]) for name, kind in names.items()})
configs.intercept = told["intercept"] == "true"
""",
    "python": """
seed = 0  # the same for all
train_tokens, output_dir = 2_400, "."
train_tokens = 2_400
output_dir = "."
rate: float = 0.01
batch, shuffled = 8, True
batch = 8
intercept = False
""",
    "yaml": """
import yaml
from pathlib import Path
from types import SimpleNamespace
document = yaml.safe_load(Path("config.yaml").read_text())
configs = SimpleNamespace(**document["run"], **document["optimizer"])
""",
}
_CONFIG = """
run: {seed: 0, train_tokens: 2400, output_dir: ., intercept: false}
optimizer:
  rate: 0.01  # slow
  batch: 8
"""
_FLAGS = {
    "environment": ('style = "environment"\nfile = ""', "seed", "train_tokens", "output_dir"),
    "python": ('style = "python"\nfile = "settings.py"\ndataclass = ""', "seed", "train_tokens", "output_dir"),
    "yaml": ('style = "yaml"\nfile = "config.yaml"', "run.seed", "run.train_tokens", "run.output_dir"),
}


@pytest.mark.parametrize(
    ("text", "flags", "name", "value", "expected"),
    [
        ("rate = 0.5  # per step\n", MODULE, "rate", 0.25, "rate = 0.25  # per step\n"),
        ("é = 'é'; rate = (\n 0.5\n)\nx = 1\n", MODULE, "rate", 2, "é = 'é'; rate = (\n 2\n)\nx = 1\n"),
        ("class C:\n n: str = field(default='a')\n", FIELDS, "n", "b", "class C:\n n: str = field(default='b')\n"),
        ("a: {b: 1}\nc: yes\n", YAML, "a.b", 0.001, "a:\n  b: 0.001\nc: true\n"),
        ("a:\n  b: 1\n", YAML, "a.b", 1e-05, "a:\n  b: 1.0e-05\n"),
        ('{"a": 1, "b": true}', JSON, "a", 2, '{\n  "a": 2,\n  "b": true\n}'),
    ],
)  # fmt: skip
def test_a_file_declares_another_value(text: str, flags: Flags, name: str, value: float | str, expected: str) -> None:
    """The rest of it stays, but for a YAML file's layout; what is written is read back as it was meant."""
    written = rewritten(text, flags, {name: value})
    assert written == expected and declared(written, flags)[name] == value


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        ("rate = 1\n", MODULE, "declares no speed"),
        ("def broken(:\n", MODULE, "is no Python"),
        ("a: 1\n", YAML, "declares no speed"),
        ("a: !!python/object:os.system {}\n", YAML, "no plain YAML"),
        ("- 1\n", YAML, "no names at its top"),
    ],
)
def test_what_cannot_be_declared_is_told(text: str, flags: Flags, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        rewritten(text, flags, {"speed": 2})


def target(folder: Path, style: str) -> Path:
    """The plain target with its flags in another style: what it trains is the same."""
    flags, seed, length, output = _FLAGS[style]
    shutil.copytree(TARGETS / "plain", folder)
    (folder / "settings.py").write_text(_SETTINGS[style])
    (folder / "config.yaml").write_text(_CONFIG)
    train = (folder / "train.py").read_text()
    start, end = train.index("def parse()"), train.index("def main()")
    train = f"{train[:start]}{train[end:]}".replace("from settings import Configs", "import settings")
    names = ["seed", "train_tokens", "output_dir", "rate", "batch", "intercept"]
    read = f"configs = __import__('types').SimpleNamespace(**{{name: getattr(settings, name) for name in {names}}})"
    read = read if style == "python" else "configs = settings.configs"
    train = train.replace("configs = parse()", read).replace("asdict(configs)", "vars(configs)")
    (folder / "train.py").write_text(train)
    model = (folder / "model.py").read_text()
    (folder / "model.py").write_text(model.replace("from settings import Configs\n", "").replace(": Configs", ""))
    toml = (folder / "circle.toml").read_text()
    start, end = toml.index("command = ["), toml.index("timeout_minutes")
    settings = f'{{ "{seed}" = "{{seed}}", "{length}" = "{{length}}", "{output}" = "{{output}}" }}'
    toml = f'{toml[:start]}command = ["{{python}}", "train.py"]\nsettings = {settings}\n{toml[end:]}'
    toml = toml.replace('file = "settings.py"', flags)
    if style == "yaml":
        toml = toml.replace('"settings.py", "model.py"]', '"config.yaml", "settings.py", "model.py"]')
    (folder / "circle.toml").write_text(toml)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "The training code")
    return folder


@pytest.mark.parametrize(
    "style", ["yaml", *(pytest.param(style, marks=pytest.mark.long) for style in ("environment", "python"))]
)
def test_a_flag_is_judged_in_its_style(tmp_path: Path, style: str) -> None:
    """The intercept wins as it does on the command line, with the same floor; each run had a tree of its own."""
    folder = target(tmp_path / style, style)
    flag = "run.intercept" if style == "yaml" else "intercept"
    judged = circle(folder, "judge", "--flags", f"--{flag} true", "--no-sandbox", "--secret", "5eed", "--json")
    assert judged.returncode == 0, judged.stderr
    version = json.loads(judged.stdout)
    assert version["verdict"]["outcome"] == "win" and version["experiment"]["effect"] > 0.1
    (name,) = [session["id"] for session in json.loads(circle(folder, "list", "--json").stdout)]
    assert shown(folder, name)["baseline"]["std"] > 0
    assert not list((folder / ".circle" / "sessions" / name).glob("trees/*"))
