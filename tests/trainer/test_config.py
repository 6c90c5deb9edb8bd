"""Settings: presets, validation, flags, and that none of them is dead."""

import math
import subprocess
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from trainer.config import PRESETS, Configs
from trainer.device import computes_bfloat16
from trainer.errors import ConfigError
from trainer.flags import parse_configs
from trainer.model import Transformer

NATIVE = "bfloat16" if computes_bfloat16(torch.device("cpu")) else "float32"

# Another value for each setting which must change the final weights or the evaluations.
BEHAVIOURAL: dict[str, Any] = {
    "seed": 7,
    "train_tokens": 256,
    "eval_every": 3,
    "eval_tokens": 64,
    "dtype": "float32" if NATIVE == "bfloat16" else "bfloat16",
    "max_seq_len": 16,
    "d_model": 16,
    "n_layers": 1,
    "n_heads": 1,
    "n_kv_heads": 2,
    "d_ff": 32,
    "rope_base": 10.0,
    "qk_norm": False,
    "tie_embeddings": True,
    "zero_init": False,
    "batch_size": 2,
    "muon_lr": 0.001,
    "muon_momentum": 0.5,
    "muon_weight_decay": 0.7,
    "adamw_lr": 0.001,
    "adamw_beta1": 0.95,
    "adamw_beta2": 0.9,
    "embedding_lr": 0.001,
    "weight_decay": 0.7,
    "grad_clip": 0.001,
    "schedule": "constant",
    "warmup_ratio": 0.5,
    "cooldown_ratio": 0.25,
    "final_lr_ratio": 0.5,
}
# Where a run reads and writes, how it looks and how fast it is: the result must not depend on these.
COSMETIC = {"log_every": 3, "threads": 2, "save_every": 1, "resume": True}
PATHS = {"corpus", "tokenizer", "data_dir", "output_dir"}
# Tied to the data or to a compiler; tested on their own.
APART = {"vocab_size", "compile"}


def test_every_setting_is_covered() -> None:
    """A new field must be sorted into one of the sets above."""
    assert {f.name for f in fields(Configs)} == {*BEHAVIOURAL, *COSMETIC, *PATHS, *APART}


@pytest.mark.parametrize("name", BEHAVIOURAL)
def test_a_behavioural_flag_changes_the_result(name: str, tiny: Configs, train_tiny: Callable[..., Any]) -> None:
    """Parsed from the command line, it arrives in the settings, and the weights or the evaluations differ."""
    flags = ["--preset", "smoke", f"--{name}", str(BEHAVIOURAL[name])]
    parsed = getattr(parse_configs(flags, "train"), name)
    assert parsed == BEHAVIOURAL[name]
    assert type(parsed) is type(getattr(tiny, name))
    base, changed = train_tiny(), train_tiny(**{name: parsed})
    assert changed.metrics["configs"][name] != base.metrics["configs"][name]
    assert (changed.weights_sha256, changed.losses) != (base.weights_sha256, base.losses)


@pytest.mark.parametrize("name", COSMETIC)
def test_a_cosmetic_flag_changes_nothing(name: str, train_tiny: Callable[..., Any]) -> None:
    """Bit for bit."""
    base, changed = train_tiny(), train_tiny(**{name: COSMETIC[name]})
    assert changed.metrics["configs"][name] == COSMETIC[name]
    assert (changed.weights_sha256, changed.losses) == (base.weights_sha256, base.losses)


def test_evaluating_more_often_leaves_the_training_alone(train_tiny: Callable[..., Any]) -> None:
    """An evaluation draws nothing and moves nothing."""
    often, seldom = train_tiny(eval_every=1), train_tiny(eval_every=100)
    assert len(often.losses) > len(seldom.losses)
    assert often.weights_sha256 == seldom.weights_sha256


def test_blueberry_has_88_630_528_parameters() -> None:
    """The published recipe's count; and 8M tokens are 489 steps."""
    with torch.device("meta"):
        model = Transformer(PRESETS["blueberry"])
    assert sum(p.numel() for p in model.parameters()) == 88_630_528
    assert PRESETS["blueberry"].steps == 489


@pytest.mark.parametrize("preset", PRESETS)
def test_flags_go_over_the_preset(preset: str) -> None:
    """And leave its other settings as they are."""
    parsed = parse_configs(["--preset", preset, "--muon_lr", "0.5", "--compile"], "train")
    assert parsed == replace(PRESETS[preset], muon_lr=0.5, compile=True)


@pytest.mark.parametrize(("word", "value"), [("true", True), ("false", False), ("True", True)])
def test_a_bool_takes_a_word(word: str, value: bool) -> None:
    """In any case."""
    assert parse_configs(["--qk_norm", word], "train").qk_norm is value


def test_optional_settings_take_a_value() -> None:
    """They are None unless given."""
    assert parse_configs([], "train").tokenizer is None
    assert parse_configs(["--tokenizer", "a.json"], "train").tokenizer == "a.json"


def test_the_published_mix_is_blueberrys_corpus() -> None:
    """The small presets take the King James Bible, which needs no network."""
    assert {name: preset.corpus for name, preset in PRESETS.items()} == {
        "blueberry": "hf:HuggingFaceTB/smollm-corpus",
        "cpu": "kjv",
        "smoke": "kjv",
    }


def test_prepared_data_and_a_corpus_exclude_each_other() -> None:
    """On the command line; a preset's corpus gives way to prepared data."""
    assert parse_configs(["--preset", "blueberry", "--data_dir", "b"], "train").data_dir == "b"
    with pytest.raises(ConfigError, match="--data_dir and --corpus exclude each other"):
        parse_configs(["--corpus", "kjv", "--data_dir", "b"], "train")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train_tokens": -5}, "--train_tokens -5 is out of range; give a value 1 or more."),
        ({"batch_size": 0}, "--batch_size 0 is out of range; give a value 1 or more."),
        ({"muon_lr": math.nan}, "--muon_lr nan is not a finite number; give one."),
        ({"rope_base": math.inf}, "--rope_base inf is not a finite number; give one."),
        ({"warmup_ratio": 1.5}, "--warmup_ratio 1.5 is out of range; give a value from 0.0 to 1.0."),
        ({"n_heads": 7}, "--n_heads 7 does not divide --d_model 512; choose one that does."),
        ({"n_kv_heads": 3}, "--n_kv_heads 3 does not divide --n_heads 8; choose one that does."),
        (
            {"d_model": 24},
            "--d_model 24 over --n_heads 8 gives heads of odd width 3; rotary positions need an even width.",
        ),
    ],
)
def test_a_value_that_cannot_be_used_is_told_in_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    """What, where, and what to do."""
    with pytest.raises(ConfigError) as error:
        Configs(**changes)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    "flags", [["--no_such_flag", "1"], ["--train_tokens", "nan"], ["--schedule", "up"], ["--qk_norm", "x"]]
)
def test_argparse_refuses_the_rest(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With exit code 2 and the name of the flag."""
    with pytest.raises(SystemExit) as error:
        parse_configs(flags, "train")
    assert error.value.code == 2
    assert flags[0] in capsys.readouterr().err


def test_help_names_every_setting(command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """With a text for each."""
    shown = command("--help").stdout
    assert all(f"--{f.name} " in shown for f in fields(Configs))
