"""The target's circle.toml as one frozen object; an unknown or missing key is an error with its name."""

from __future__ import annotations

import ast
import re
import string
import tomllib
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from agents.errors import TargetError, UsageError
from agents.limits import Limits
from agents.records import Confidence, Direction, FlagValue

FILE = "circle.toml"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Paths(_Table):
    """What a patch may edit, and what decides a run: patterns of paths relative to the root."""

    editable: tuple[str, ...]
    training: tuple[str, ...] = Field(min_length=1)
    protected: tuple[str, ...] = ()


class Data(_Table):
    """How the base commit prepares its data in {data}: a training run sees the folder `open` of it and no more.

    With `serve` it does not see even that: the base commit's command writes, for each of the comma-separated {seeds},
    what a run of {train_tokens} takes of {data} to the folder {output}/<seed>, and that is the run's {data}. `served`
    is the field of a JSON file there, as file:field, that says how many training tokens it holds.
    `conceal` names Python packages that hold the raw corpus, and with it the hidden split: no run sees them.
    `folders` are data that git does not know, by their paths from the root: all of it can be read, at the same place.
    """

    prepare: tuple[str, ...] = ()
    open: str = "open"
    serve: tuple[str, ...] = ()
    served: str = ""
    conceal: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _says_what_it_serves(self) -> Data:
        if self.serve and not (self.prepare and ":" in self.served):
            raise ValueError("serve needs prepare, and served = 'file:field', the number of tokens served")
        return self


class Preset(_Table):
    """A scale: tokens of a whole run, and of the short complete run that shows whether a flag is live.

    A target that counts steps, epochs or samples says `length` and `short_length`, in its own unit. `sequence_length`
    is the length in tokens of the windows that the trusted evaluation scores; `seconds` is about what one run takes,
    until a run of this machine is on record.
    """

    train_tokens: int = Field(gt=0, validation_alias=AliasChoices("train_tokens", "length"))
    short_tokens: int = Field(gt=0, validation_alias=AliasChoices("short_tokens", "short_length"))
    sequence_length: int = Field(default=128, gt=0)
    seconds: float = Field(default=60.0, gt=0)


class Train(_Table):
    """The train command. {python} {preset} {train_tokens} {seed} {data} {output} are filled in; {length} is the tokens.

    `python` is the interpreter of the target's own environment, by its path from the root; without it, Circle's.
    `flag` is what a flag becomes on the command line, and `switch` what a true and a false one do, where a bare word
    says it. `settings` are what every run is given by the style of [flags], where that is not the command line.
    `timing` is added to the runs whose time is taken. A run takes `threads` CPUs and, of a cluster's node, `gpus` GPUs.
    """

    command: tuple[str, ...] = Field(min_length=1)
    python: str = ""
    flag: tuple[str, ...] = ("--{name}", "{value}")
    switch: tuple[str, str] | None = None
    settings: dict[str, str] = Field(default_factory=dict)
    timing: tuple[str, ...] = ()
    timeout_minutes: float = Field(default=60.0, gt=0, le=100_000)
    threads: int = Field(default=1, gt=0)
    gpus: int = Field(default=0, ge=0)
    progress: str = r"step (?P<step>\d+)/(?P<steps>\d+) loss (?P<loss>\S+)"

    @field_validator("progress")
    @classmethod
    def _finds_a_step(cls, progress: str) -> str:
        return _pattern(progress, {"step", "steps", "loss"})


Style = Literal["arguments", "environment", "python", "yaml"]
IN_A_FILE = ("python", "yaml")


class Flags(_Table):
    """Where flags are declared, and how a run is given them.

    They are declared in `file`: as fields of a dataclass, by its own assignments (`dataclass` is then empty), or as the
    dotted names of a YAML or JSON file. Without it, any flag is taken as given. The style `arguments` puts them on the
    command line, `environment` into variables; `python` and `yaml` give each run a copy of `file` with their values.
    """

    style: Style = "arguments"
    file: str = ""
    dataclass: str = "Configs"

    @model_validator(mode="after")
    def _has_its_file(self) -> Flags:
        if self.style in IN_A_FILE and not self.file:
            raise ValueError(f"the style {self.style} needs file, where the flags are declared")
        return self


class Dimension(_Table):
    """What a flag's value may be, for a search: one of `choices`, or from `low` to `high`, whole if `default` is.

    `log` tries each factor as often as any other, not each difference.
    """

    default: FlagValue
    choices: tuple[FlagValue, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False

    @model_validator(mode="after")
    def _has_values(self) -> Dimension:
        if self.choices:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("there are either choices, or low and high")
            return self
        if self.low is None or self.high is None or not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError("it needs choices, or low < high, with log above 0")
        if isinstance(self.default, bool | str):
            raise ValueError(f"the default {self.default!r} is no number, so it needs choices")
        return self


class Guards(_Table):
    """What a gain may cost: the most times the baseline's memory, and the most times its time, if that is bounded.

    Without `time_ratio` a slower version must gain at equal time, too.
    """

    memory_ratio: float = Field(default=2.0, gt=0)
    time_ratio: float | None = Field(default=None, gt=0)


class Metric(_Table):
    """Where a run reports: a file (a pattern below {output}) and its field, or a pattern of its log.

    `value` is a dotted field of a JSON file, or of the last line of a .jsonl file, or a column of a .csv or .tsv file,
    whose last number counts. `pattern` finds it in what the run prints, as the group `value` of the last match.
    `history` is a list of the metric at its evaluations; `configs` every setting of the run, of which `volatile` ones
    may differ between equal runs; `diagnosis` what agents/laboratory/diagnosis.py reads, for figures and explanations.
    `weights` is the pattern of the file that a run hands over.
    """

    name: str
    direction: Direction
    file: str = ""
    value: str = ""
    pattern: str = ""
    history: str = ""
    configs: str = ""
    diagnosis: str = ""
    volatile: tuple[str, ...] = ()
    weights: str = ""

    @field_validator("pattern")
    @classmethod
    def _finds_a_value(cls, pattern: str) -> str:
        return _pattern(pattern, {"value"}) if pattern else pattern

    @model_validator(mode="after")
    def _is_somewhere(self) -> Metric:
        if bool(self.pattern) == bool(self.file and self.value):
            raise ValueError("it needs file and value, or the pattern of a line that is printed")
        return self


class Evaluation(_Table):
    """The trusted evaluation: a language model's loss, or a command of the base commit, or none.

    `model` names a function `module:name` of the run's tree that turns a folder into a function from token ids to
    logits. The folder holds, at their places below {output}, [metric]'s weights, which are one safetensors file, and
    `settings`, a small JSON file. `tokens` are the splits' files below {data}, `vocabulary` a field of a JSON file
    there, as file:field. A split whose logits take more than `budget_mb` MiB is scored on a sample of its windows.
    `command` prints one JSON object {"value": number}; {python} {output} {split} {data} are filled in.
    """

    model: str = ""
    settings: str = ""
    tokens: dict[Literal["visible", "hidden"], str] = Field(default_factory=dict)
    vocabulary: str = ""
    budget_mb: int = Field(default=8192, gt=0)
    command: tuple[str, ...] = ()
    timeout_minutes: float = Field(default=10.0, gt=0, le=100_000)

    @property
    def self_reported(self) -> bool:
        """Whether nothing but the run's own report says how good it is."""
        return not self.model and not self.command


class Start(_Table):
    """Defaults of `circle start`'s options for this target; the environment and the flags go before them."""

    researcher: str | None = None
    turbo: bool = False
    approve_scope: tuple[str, ...] = ()
    minimum_effect: float = Field(default=0.0, ge=0)
    confidence: Confidence = "standard"
    scales: tuple[int, ...] = ()
    workers: int | None = Field(default=None, gt=0)
    track: str = ""
    lab: str = "local"
    max_versions: int = Field(default=4, gt=0)
    max_runs: int | None = Field(default=None, gt=0)
    max_hours: float | None = Field(default=None, gt=0)
    max_usd: float | None = Field(default=None, gt=0)
    max_tokens: int | None = Field(default=None, gt=0)


class Price(_Table):
    """What a model costs in dollars a million tokens: cached ones when written (to last an hour) and when read.

    A request of more than `long_prompt` tokens is priced by `long`, all of it.
    """

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cache_write: float = Field(ge=0)
    cache_read: float = Field(ge=0)
    long_prompt: int | None = Field(default=None, gt=0)
    long: Price | None = None


class Model(_Table):
    """The model that a researcher asks. `prices` go before the ones that Circle knows.

    A call that fails for no fault of ours is repeated after a pause of at most `backoff_seconds`, doubled each time up
    to a minute, for `patience_hours`; one that says nothing for `silence_seconds` has failed.
    """

    name: str = "claude-opus-5-5"
    prices: dict[str, Price] = Field(default_factory=dict)
    max_output_tokens: int = Field(default=16_000, gt=0)
    patience_hours: float = Field(default=6.0, ge=0)
    backoff_seconds: float = Field(default=1.0, ge=0)
    silence_seconds: float = Field(default=300.0, gt=0)


class Target(_Table):
    """A training repo as its circle.toml describes it."""

    name: str
    paths: Paths
    data: Data = Data()
    train: Train
    presets: dict[str, Preset]
    preset: str
    flags: Flags = Flags()
    search: dict[str, Dimension] = Field(default_factory=dict)
    guards: Guards = Guards()
    metric: Metric
    evaluation: Evaluation = Evaluation()
    limits: Limits = Limits()
    start: Start = Start()
    model: Model = Model()

    @field_validator("presets")
    @classmethod
    def _some_preset(cls, presets: dict[str, Preset]) -> dict[str, Preset]:
        if not presets:
            raise ValueError("at least one preset is needed")
        return presets

    @model_validator(mode="after")
    def _commands_can_be_filled_in(self) -> Target:
        run = {"python", "preset", "train_tokens", "length", "seed", "data", "output"}
        for where, command, known in (
            ("data.prepare", self.data.prepare, {"python", "preset", "data"}),
            ("data.serve", self.data.serve, {"python", "preset", "data", "train_tokens", "seeds", "output"}),
            ("train.command", self.train.command, run),
            ("train.flag", self.train.flag, {"name", "value"}),
            ("train.switch", self.train.switch or (), {"name"}),
            ("train.settings", tuple(self.train.settings.values()), run),
            ("evaluation.command", self.evaluation.command, {"python", "output", "split", "data"}),
        ):
            for part in command:
                _check_placeholders(where, part, known)
        if self.train.settings and self.flags.style == "arguments":
            raise ValueError("train.settings are for another flags.style; arguments are part of train.command")
        evaluation = self.evaluation
        if evaluation.model and not self.metric.weights:
            raise ValueError("evaluation.model needs metric.weights, the file that a run hands over")
        below = (
            *(self.metric.file, self.metric.weights, self.data.open, self.data.served, evaluation.settings),
            *(self.data.folders),
        )
        for pattern in (*below, *evaluation.tokens.values()):
            if pattern.startswith("/") or ".." in pattern.split("/"):
                raise ValueError(f"{pattern!r} is not a path below the run's or the data's folder")
        return self

    def scale(self, preset: str) -> Preset:
        """Return the preset of that name; raise UsageError with the known names otherwise."""
        if preset not in self.presets:
            known = ", ".join(sorted(self.presets))
            raise UsageError(f"There is no preset {preset!r} in {FILE}; it has: {known}.")
        return self.presets[preset]

    @property
    def time_limit(self) -> float | None:
        """How many times as slow a version may be; None where it is held against a baseline that trains as long.

        Where a run is not told its length, nothing can be trained longer: then no version may surely be slower.
        """
        words = (*self.train.command, *self.train.settings.values())
        told = any(name in word for word in words for name in ("{train_tokens}", "{length}"))
        return self.guards.time_ratio or (None if told else 1.0)

    @property
    def reserved(self) -> frozenset[str]:
        """The settings that are the laboratory's to set: what the train command passes, and the volatile ones."""
        passed = (re.match(r"--?([A-Za-z_][\w-]*)", part) for part in self.train.command)
        words = {match[1] for match in passed if match}
        return frozenset(words | set(self.train.settings) | set(self.metric.volatile))

    def editable(self, path: str) -> bool:
        """Whether a patch may touch this path: a folder that Python would import for a protected file is protected."""
        modules = [f"{folder}.py" for folder in PurePosixPath(path).parents]
        protected = any(_matches(name, self.paths.protected) for name in (path, *modules))
        return _matches(path, self.paths.editable) and not protected


def flag_value(text: str) -> FlagValue:
    """Return a word as the value that it means: true, false, a number, or itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, int | float | str) else text


def _pattern(pattern: str, groups: set[str]) -> str:
    try:
        found = re.compile(pattern).groupindex.keys()
    except re.error as error:
        raise ValueError(f"the pattern is no regular expression: {error}") from error
    if missing := groups - found:
        raise ValueError(f"the pattern has no group named {sorted(missing)[0]}")
    return pattern


def _check_placeholders(where: str, part: str, known: set[str]) -> None:
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(part) if name is not None}
    except ValueError as error:
        raise ValueError(f"{where}: {part!r}: {error}") from error
    if unknown := sorted(names - known):
        raise ValueError(f"{where}: {{{unknown[0]}}} is not filled in; there are: {', '.join(sorted(known))}")


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(path, pattern) or path.startswith(pattern.rstrip("/") + "/") for pattern in patterns)


def load_target(root: Path) -> Target:
    """Read the target's circle.toml; raise TargetError with one sentence about what is wrong."""
    file = root / FILE
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TargetError(
            f"{root} has no {FILE}: Circle needs one to know how the repository trains, and circle init writes it."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise TargetError(f"{file} cannot be read: {error}.") from error
    return parse_target(text, str(file))


def parse_target(text: str, where: str) -> Target:
    """Turn the text of a circle.toml into a Target; raise TargetError that names `where` and the key."""
    try:
        return Target.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise TargetError(f"{where} is not valid TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise TargetError(f"{where}: {key or 'the file'}: {first['msg'].lower()}.") from error
