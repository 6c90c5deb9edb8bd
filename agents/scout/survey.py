"""What a repo's text says of how it trains: the script, its settings, and what a patch may edit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.errors import TargetError
from agents.records import FlagValue
from agents.scout.declared import Setting, imports_from_root, is_output, is_seed, length_rank, settings_of
from agents.settings import Dimension, Style

_NOT_TRAINING = re.compile(r"(^|/)(tests?|docs?|\.github|build|dist|examples?)/|(^|/)(setup|conftest|test_\w+)\.py$")
_MEASURES = re.compile(r"(^|/)(eval|score|metrics|data|prepare|download)\w*(\.py|/)")
_NAMES = (
    *((r"^train\.py$", 12), (r"^__main__\.py$", 6), (r"train", 8)),
    *((r"^(main|run|fit)\.py$", 7), (r"^(run|fit|main)_", 4)),
)
_NO_HYPERPARAMETER = re.compile(
    r"(^|_)(seed|dir|path|file|folder|data|dataset|device|gpu|gpus|worker|workers|interval|every|freq|port|host|name|"
    r"project|verbose|debug|resume|id|tag|print|log|save|eval|test|wandb|url|key|token|tokens|num_classes|threads)(_|$)"
)
_SHARES = re.compile(r"dropout|smoothing|momentum|(^|_)beta|decay_rate|ema|warmup_frac|ratio")
_TEXTS = re.compile(r"\.(py|ya?ml)$|(^|/)[^/]*(config|settings|params|options)[^/]*\.json$")
_FROM_ZERO = re.compile(r"decay|(^|_)(wd|l1|l2|reg|lambda|alpha|noise)")
ENVIRONMENTS = (".venv/bin/python", "venv/bin/python", "env/bin/python")


@dataclass(frozen=True)
class Survey:
    """How a repo seems to train. The roles are None where no setting has such a name.

    `module` is the script's dotted name where it is to be run as one, with `path` as its PYTHONPATH.
    """

    script: str
    module: str
    path: str
    style: Style
    settings: tuple[Setting, ...]
    seed: Setting | None
    length: Setting | None
    output: Setting | None
    editable: tuple[str, ...]
    protected: tuple[str, ...]
    training: tuple[str, ...]
    evaluates: str
    python: str = ""
    data: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def roles(self) -> tuple[Setting, ...]:
        """The settings that are the laboratory's to set."""
        return tuple(role for role in (self.seed, self.length, self.output) if role)

    @property
    def hyperparameters(self) -> tuple[Setting, ...]:
        """The settings that a version may give other values, in the style of this target."""
        return tuple(
            setting
            for setting in self.settings
            if setting.style == self.style and setting not in self.roles and not _NO_HYPERPARAMETER.search(setting.word)
        )

    @property
    def declared_in(self) -> tuple[str, str]:
        """The file and the dataclass in which the flags are declared, if there is one for all of them."""
        places = {(setting.file, setting.dataclass) for setting in self.settings if setting.style == self.style}
        return places.pop() if len(places) == 1 else ("", "")


def survey(
    root: Path, names: Sequence[str], read: Callable[[str], str], script: str = "", words: Sequence[str] = ()
) -> Survey:
    """Look at a repo's committed files, read by their names; `words` are what a person adds to the command.

    Raises:
        TargetError: no script seems to train, or settings that every run needs are in two different places.
    """
    files = {name: read(name) for name in names if _TEXTS.search(name)}
    chosen = script or _script(files)
    if chosen not in files:
        raise TargetError(f"{chosen} is no committed Python file of {root}: name the script that trains with --script.")
    settings = settings_of(files, chosen)
    module, path = _module(chosen, files)
    seed, length, output = _roles(settings)
    style = _style(settings, [role for role in (seed, length, output) if role])
    code = [name for name in files if name.endswith(".py") and not _NOT_TRAINING.search(name)]
    config = sorted({setting.file for setting in settings if setting.style == style == "yaml"})
    protected = tuple(sorted(name for name in code if _MEASURES.search(name) and name != chosen))
    return Survey(
        script=chosen,
        module=module,
        path=path,
        style=style,
        settings=tuple(settings),
        seed=seed,
        length=length,
        output=output,
        editable=tuple(_patterns([name for name in code if name not in protected]) + config),
        protected=protected,
        training=tuple(_patterns(code) + config),
        evaluates=next((name for name in protected if re.search(r"(^|/)(eval|score)\w*\.py$", name)), ""),
        python=next((place for place in ENVIRONMENTS if (root / place).exists()), ""),
        data=_data_folders(root, names),
        words=tuple(words),
    )


def _script(files: Mapping[str, str]) -> str:
    """The file whose name and text say most that it is run to train."""
    scored = {name: score for name, text in files.items() if name.endswith(".py") and (score := _score(name, text))}
    if not scored:
        raise TargetError("No committed Python script seems to train: commit it, or name it with --script FILE.")
    return max(sorted(scored), key=lambda name: scored[name])


def _module(script: str, files: Mapping[str, str]) -> tuple[str, str]:
    """The name by which a script is run with -m, and from which folder: where it is part of a package, or imports from
    the root what it would not find beside itself."""
    folders = script.split("/")[:-1]
    packages = [number for number in range(len(folders)) if f"{'/'.join(folders[: number + 1])}/__init__.py" in files]
    outer = len(folders) - len(packages)
    whole = packages == list(range(outer, len(folders)))
    if not folders or not ((whole and packages) or imports_from_root(files, script)):
        return "", ""
    above, inner = (folders[:outer], folders[outer:]) if packages and whole else ([], folders)
    leaf = script.rpartition("/")[2].removesuffix(".py")
    return ".".join([*inner, *([leaf] if leaf != "__main__" else [])]), "/".join(above)


def _score(name: str, text: str) -> int:
    if _NOT_TRAINING.search(name):
        return 0
    leaf = name.rpartition("/")[2]
    named = next((points for pattern, points in _NAMES if re.search(pattern, leaf)), 0)
    runs = 3 * ("__main__" in text) + 2 * ("add_argument" in text) + 2 * bool(re.search(r"\.backward\(|\.fit\(", text))
    return max(0, named + runs - 2 * name.count("/")) if named or runs >= 3 else 0


def _roles(settings: Sequence[Setting]) -> tuple[Setting | None, Setting | None, Setting | None]:
    """Seed, length and output: the first on the command line, else the first anywhere; the length by its name."""
    first_words = sorted(settings, key=lambda setting: setting.style != "arguments")
    seed = next(filter(is_seed, first_words), None)
    output = next(filter(is_output, first_words), None)
    lengths = [(rank, number) for number, one in enumerate(first_words) if (rank := length_rank(one)) is not None]
    return seed, first_words[min(lengths)[1]] if lengths else None, output


def _style(settings: Sequence[Setting], roles: Sequence[Setting]) -> Style:
    """Where flags are set: where the roles are that no command line takes, else where most settings are."""
    elsewhere = {role.style for role in roles} - {"arguments"}
    if len(elsewhere) > 1:
        named = ", ".join(f"{role.name} ({role.style})" for role in roles)
        raise TargetError(f"What every run is told is set in different places, {named}: set all of it in one of them.")
    if elsewhere:
        return elsewhere.pop()
    counts: dict[Style, int] = {}
    for setting in settings:
        counts[setting.style] = counts.get(setting.style, 0) + (not _NO_HYPERPARAMETER.search(setting.word))
    return max(counts, key=lambda style: (counts[style], style == "arguments"), default="arguments")


def _patterns(names: Sequence[str]) -> list[str]:
    """Files of the root by their names, those in folders by the folder at the top."""
    here = sorted(name for name in names if "/" not in name)
    return here + sorted({f"{name.partition('/')[0]}/*.py" for name in names if "/" in name})


def _data_folders(root: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Folders that git does not know, and whose names say that they hold data."""
    committed = {name.partition("/")[0] for name in names}
    here = (path.name for path in sorted(root.iterdir()) if path.is_dir() and path.name not in committed)
    return tuple(name for name in here if re.match(r"(data|dataset|corpus)", name))


def dimension(setting: Setting) -> Dimension | None:
    """Return a space to search around a setting's default, or None where nothing says which values make sense."""
    default = setting.default
    if setting.choices and default in setting.choices and len(setting.choices) > 1:
        return Dimension(default=_known(default), choices=setting.choices)
    if isinstance(default, bool):
        return Dimension(default=default, choices=(False, True))
    if isinstance(default, float) and _SHARES.search(setting.word) and 0 <= default < 1:
        return Dimension(default=default, low=0.0, high=0.99 if default > 0.9 else 0.95)
    if isinstance(default, float) and default == 0 and _FROM_ZERO.search(setting.word):
        return Dimension(default=default, low=0.0, high=0.1)
    if isinstance(default, float) and default > 0:
        return Dimension(default=default, low=_round(default / 10), high=_round(default * 10), log=True)
    if isinstance(default, int) and default > 1:
        return Dimension(default=default, low=max(1, default // 4), high=default * 4, log=True)
    return None


def _known(default: FlagValue | None) -> FlagValue:
    assert default is not None
    return default


def _round(value: float) -> float:
    return float(f"{value:.3g}")
