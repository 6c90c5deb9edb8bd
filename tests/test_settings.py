"""circle.toml: what is wrong in it is told by its name."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from agents.errors import TargetError, UsageError
from agents.settings import load_target, parse_target
from tests.commands import ROOT, TARGETS
from trainer.config import PRESETS

PLAIN = (TARGETS / "plain" / "circle.toml").read_text()


def test_this_repositorys_own_file_fits_its_trainer() -> None:
    """The presets' tokens and lengths are the trainer's, and what measures is protected."""
    target = load_target(ROOT)
    for name, scale in target.presets.items():
        assert scale.train_tokens == PRESETS[name].train_tokens
        assert scale.sequence_length == PRESETS[name].max_seq_len
        assert scale.short_tokens < scale.train_tokens
    assert target.editable("trainer/model.py") and target.editable("optimizers/muon.py")
    for path in (
        "trainer/data.py",
        "trainer/draft.py",
        "trainer/evaluation.py",
        "trainer/seeds.py",
        "trainer/serve.py",
        "trainer/data/__init__.py",
        "agents/graph.py",
        "circle.toml",
    ):
        assert not target.editable(path)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('name = "plain"', "name = ", "not valid TOML"),
        ('name = "plain"', "", "name: field required"),
        ('direction = "min"', 'direction = "down"', "metric.direction"),
        ("train_tokens = 2_400", "train_tokens = -1", "presets.small.train_tokens"),
        ("timeout_minutes = 0.5", "timeout_minuts = 0.5", "train.timeout_minuts"),
        ("[presets.small]", "[preset_small]", "presets"),
        ("[presets.small]", "[data]\nopen = '/etc'\n[presets.small]", "below"),
        ('"{seed}"', '"{sed}"', "{sed} is not filled in"),
        ("[presets.small]", "[data]\nserve = ['serve']\n[presets.small]", "serve needs prepare, and served"),
        ("[presets.small]", "[data]\nserved = '../x:y'\n[presets.small]", "below"),
        ('"{seed}"', '"{"', "train.command"),
        ("timeout_minutes = 0.5", "progress = 'step ('", "no regular expression"),
        ("timeout_minutes = 0.5", "progress = 'step'", "no group named"),
        ("timeout_minutes = 0.5", "timeout_minutes = inf", "train.timeout_minutes"),
        ('file = "metrics.json"', 'file = "/etc/passwd"', "below"),
    ],
)
def test_a_broken_file_is_told_in_one_sentence(before: str, after: str, words: str) -> None:
    assert before in PLAIN
    with pytest.raises(TargetError) as error:
        parse_target(PLAIN.replace(before, after, 1), "circle.toml")
    assert words in str(error.value) and "\n" not in str(error.value).strip()


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"has no circle\.toml"):
        load_target(tmp_path)
    (tmp_path / "circle.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(TargetError, match="cannot be read"):
        load_target(tmp_path)


def test_an_unknown_preset_is_told_with_the_known_ones() -> None:
    target = parse_target(PLAIN, "circle.toml")
    with pytest.raises(UsageError, match="small"):
        target.scale("huge")
    assert tomllib.loads(PLAIN)["presets"]["small"]["train_tokens"] == target.scale("small").train_tokens
