"""Command line -> Configs: every field of the dataclass is a flag."""

import argparse
from collections.abc import Sequence
from dataclasses import fields, replace
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch

from trainer.config import PRESETS, Configs
from trainer.errors import ConfigError


def parse_configs(argv: Sequence[str], program: str) -> Configs:
    """The preset's settings with the given flags over them.

    Raises ConfigError for a value that cannot be used; argparse itself ends the program, with code 2, for an
    unknown flag or a value of the wrong type.
    """
    parser = argparse.ArgumentParser(
        prog=program, usage=f"{program} [--preset NAME] [--<setting> VALUE ...]", allow_abbrev=False
    )
    parser.add_argument(
        "--preset", choices=PRESETS, help="where the settings start (default: blueberry on CUDA, else cpu)"
    )
    for name, hint in get_type_hints(Configs).items():
        parser.add_argument(f"--{name}", default=argparse.SUPPRESS, help=about(name), **argument(hint))
    given = vars(parser.parse_args(argv))
    if given.keys() >= {"corpus", "data_dir"}:
        raise ConfigError("--data_dir and --corpus exclude each other: prepared data has its corpus; give one.")
    if given.keys() >= {"tokenizer", "data_dir"}:
        raise ConfigError("--data_dir and --tokenizer exclude each other: prepared data has its tokens; give one.")
    preset = given.pop("preset") or ("blueberry" if torch.cuda.is_available() else "cpu")
    return replace(PRESETS[preset], **given)


def about(name: str) -> str:
    """The help text of a field, with its value in every preset."""
    text = next(f.metadata["about"] for f in fields(Configs) if f.name == name)
    values = ", ".join(f"{preset} {getattr(configs, name)}" for preset, configs in PRESETS.items())
    return f"{text} [{values}]".replace("%", "%%")


def argument(hint: Any) -> dict[str, Any]:
    """argparse's keywords for a field of this type: int, float, str, bool, Literal, or one of them | None."""
    if get_origin(hint) is UnionType:
        (hint,) = [part for part in get_args(hint) if part is not type(None)]
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if hint is bool:
        return {"type": truth, "nargs": "?", "const": True, "metavar": "true|false"}
    return {"type": hint, "metavar": hint.__name__.upper()}


def truth(word: str) -> bool:
    """A bool written as a word. Raises argparse.ArgumentTypeError for any other word."""
    values = {"true": True, "1": True, "false": False, "0": False}
    if word.lower() not in values:
        raise argparse.ArgumentTypeError(f"{word!r} is neither true nor false")
    return values[word.lower()]
