"""The words of a session as frozen, JSON-plain records.

Data flows one way: Idea -> Plan -> Patch -> Review -> Approval -> Runs -> Verdict -> Revision | Victory.
A record never changes; a later step makes a new one. `model_dump(mode="json")` of any of them is
what the graph's state, the journal and `circle show --json` hold.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Arm = Literal["baseline", "experiment"]
Direction = Literal["min", "max"]
Decision = Literal["approved", "rejected", "edited"]
Confidence = Literal["standard", "relaxed", "strict"]
Stage = Literal[
    "floor",
    "check",
    "regression",
    "liveness",
    "timing",
    "screen",
    "confirm",
    "report",
    "stretched",
    "ablation",
    "scale",
]
Split = Literal["visible", "hidden"]
RunStatus = Literal["done", "crashed", "diverged", "timeout", "refused"]
Outcome = Literal["win", "loss", "inconclusive", "invalid"]
Cause = Literal["theory", "system", "noise", "implementation"]
Severity = Literal["CRITICAL", "WARNING", "MINOR"]
Ending = Literal["failed run", "screen", "too costly", "dropped", "refused", "confirmed", "budget"]
FlagValue = bool | int | float | str
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
Branch = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w./-]*$")]
"""Git takes a name that begins with a dash for an option; a record may come from another machine."""


def canonical(body: Any) -> str:
    """Return the one JSON text of a plain value: sorted keys, no spaces, ASCII."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def digest(body: Any) -> str:
    """Return the SHA-256 of a plain value's canonical JSON."""
    return hashlib.sha256(canonical(body).encode()).hexdigest()


class Record(BaseModel):
    """A frozen record: unknown fields are errors, so that a typo in a reply is told, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Idea(Record):
    """What is to be tried, in a person's words; `name` is the slug that files and branches use."""

    text: str
    name: str


class Flag(Record):
    """A flag of the training script: `default` leaves the baseline alone, `value` is the experiment's."""

    name: str
    default: FlagValue
    value: FlagValue


def flag_words(flags: tuple[Flag, ...]) -> tuple[str, ...]:
    """Return flags as name=value words, as sessions remember them."""
    return tuple(f"{flag.name}={flag.value}" for flag in flags)


class Ablation(Record):
    """A simpler thing that might explain a win: the mechanism left out, a trivial alternative, a bundle less one."""

    name: str
    flags: tuple[Flag, ...]
    member: bool = False


class Plan(Record):
    """The planner's reply: a falsifiable hypothesis and the change that tests it."""

    title: str
    hypothesis: str
    method: str
    files: tuple[str, ...] = ()
    flags: tuple[Flag, ...]
    criteria: str
    risks: str = ""
    source: str = ""
    variant: str = ""
    ablations: tuple[Ablation, ...] = ()


class Change(Record):
    """The implementer's reply: a unified diff against the session's base commit; empty for flags alone."""

    diff: str
    summary: str


class Patch(Record):
    """A change as committed: the branch, its one code commit, and the SHA-256 of base..commit."""

    branch: Branch
    commit: Commit
    diff_sha256: str
    files: tuple[str, ...]
    summary: str


class Issue(Record):
    """One finding of a review."""

    severity: Severity
    file: str
    line: int | None = None
    issue: str
    fix: str


class Review(Record):
    """The reviewer's reply; a CRITICAL issue means that it did not pass."""

    passed: bool
    issues: tuple[Issue, ...] = ()


class Approval(Record):
    """A decision on the bytes whose SHA-256 was shown."""

    decision: Decision
    by: str
    at: str
    sha256: str
    comment: str = ""


class Edited(Approval):
    """The decision that another diff takes the place of the one that was shown."""

    diff: str


class Attempt(Record):
    """An earlier commit of a version that was sent back, and why; or that a person decided to `edit`."""

    commit: Commit
    diff_sha256: str
    failure: str
    edit: Approval | None = None


class Diagnosis(Record):
    """What a run tells of itself, for a diagnosis in words and pictures: by the step of each update it looked at.

    `multipliers` are those of the learning rates; `gradient_norms` and `update_norms`, of the change over the weights,
    are by part of the model. `phase_seconds` are of the whole run. All of it was written by the code under test: it may
    inform a reason, a prompt or a figure, and never a verdict. `ignored` says why nothing of it could be used.
    """

    steps: tuple[int, ...] = ()
    multipliers: tuple[float, ...] = ()
    gradient_norms: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    update_norms: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    phase_seconds: dict[str, float] = Field(default_factory=dict)
    ignored: str = ""


class Run(Record):
    """One training process: one arm, one seed, one commit.

    `visible` and `hidden` come from the trusted evaluator (None where it was not asked), `reported` from the run's own
    metrics file; a run whose model the evaluator would not score is `refused`. `tokens_scored` and `parameters`, the
    numbers in its weights, are the evaluator's counts, `tokens_served` is how many training tokens the parent had drawn
    for it, None where it saw the whole training split. Times are seconds, memory is bytes, both measured from outside;
    `cpu_seconds` are of all its processes. `diagnosis` is the run's own word, too. `fault` is what the machine did to a
    first try. `command` is what was run in the sandbox, without where things lie on this machine, and `exit_code` how
    it ended: below 0 by that signal.
    """

    key: str
    arm: Arm
    stage: Stage
    seed: int
    commit: str
    flags: tuple[str, ...]
    train_tokens: int
    status: RunStatus
    visible: float | None = None
    hidden: float | None = None
    reported: float | None = None
    tokens_scored: int | None = None
    parameters: int | None = None
    steps: int = 0
    losses: tuple[float, ...] = ()
    loss_steps: tuple[int, ...] = ()
    history: tuple[float, ...] = ()
    seconds_per_step: float | None = None
    peak_memory_bytes: int | None = None
    train_seconds: float = 0.0
    cpu_seconds: float | None = None
    tokens_served: int | None = None
    weights_sha256: str | None = None
    configs: dict[str, Any] = Field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    error: str | None = None
    fault: str | None = None
    command: tuple[str, ...] = ()
    exit_code: int | None = None
    folder: str = ""


class Baseline(Record):
    """The noise floor: the baseline's visible metric over n seeds of this machine."""

    metric: str
    direction: Direction
    n: int
    mean: float
    std: float
    key: str
    reused: bool
    runs: tuple[Run, ...]


class Regression(Record):
    """Whether the baseline path is untouched with the flag off, and the flag changes something on.

    `log` is the head and the tail of what a run printed that failed.
    """

    passed: bool
    method: Literal["bitwise", "equivalence"]
    max_abs_difference: float | None
    live: bool
    reason: str
    failure: Literal["regression", "dead flag", "run"] | None = None
    log: str = ""


class Pair(Record):
    """Both arms with the same seed; a metric is None where its run failed."""

    seed: int
    baseline: float | None
    experiment: float | None
    stage: Literal["screen", "confirm", "report"]


class Interval(Record):
    """A mean with the bounds of its confidence interval; the bounds are infinite below two samples."""

    mean: float
    low: float
    high: float


class Ablated(Record):
    """An ablation that was run after a win, on the seeds of the pairs that the win reports.

    `gain` is its own over the baseline, `missing` what it lacks of the whole version's, both with 90 % intervals and
    None where nothing was measured. The reading: "trivial" keeps at least half of the gain, so the simpler thing does
    it; "mechanism" lacks some of it, so the mechanism does; "open" is undecided; "failed" did not train; "budget" was
    not affordable.
    """

    name: str
    flags: tuple[Flag, ...]
    pairs: int
    gain: Interval | None
    missing: Interval | None
    reading: Literal["mechanism", "trivial", "open", "failed", "budget"]

    @property
    def finding(self) -> str:
        """The reading in a sentence."""
        words = {
            "mechanism": "it lacks a part of the gain, so the mechanism matters",
            "trivial": "it keeps at least half of the gain, so the simpler thing explains the win",
            "open": f"{self.pairs} pairs cannot tell whether it explains the win",
            "failed": "it did not train, so it explains nothing",
            "budget": "not tried, for the budget had no room",
        }
        return f"Ablation {self.name!r}: {words[self.reading]}."


class Scaled(Record):
    """A win tried at another number of tokens, on fresh seeds and the hidden split; `gain` with its 90 % interval.

    The reading: "holds", "scale-dependent" (surely less than half of the gain is left, and none is sure), "open",
    "failed", "budget", or "skipped" where it did not hold at fewer tokens.
    """

    train_tokens: int
    pairs: int
    gain: Interval | None
    reading: Literal["holds", "scale-dependent", "open", "failed", "budget", "skipped"]

    @property
    def finding(self) -> str:
        """The reading in a sentence."""
        words = {
            "holds": "the win holds",
            "scale-dependent": "the gain vanishes, so the win is scale-dependent",
            "open": f"{self.pairs} pairs cannot tell whether the gain is still there",
            "failed": "a run failed, so the win is not shown there",
            "budget": "not tried, for the budget had no room",
            "skipped": "not tried, for the win was not shown to hold at fewer tokens",
        }
        return f"At {self.train_tokens:,} tokens: {words[self.reading]}."


class Experiment(Record):
    """What the runs of a version measured. effect > 0 is better, whatever the metric's direction.

    `ended` says where the rule stopped. `effect` and `ci` come from the `effect_pairs` pairs of the newest stage that
    ran: those reported after a win, else the confirmation's, else the screen's. `visible_effect` and
    `equal_time_effect` are of the screen's pairs. `timed` are both arms' runs that were alone on the machine. Ratios
    are experiment / baseline, of seconds per step and of peak bytes.
    """

    pairs: tuple[Pair, ...]
    ended: Ending
    effect: float | None = None
    effect_pairs: int = 0
    ci: tuple[float, float] | None = None
    confidence: float = 0.95
    t: float | None = None
    cohens_d: float | None = None
    visible_effect: Interval | None = None
    speed_ratio: Interval | None = None
    memory_ratio: float | None = None
    parameter_ratio: float | None = None
    kappa: float | None = None
    equal_time_effect: Interval | None = None
    retrained: bool = False
    screened: tuple[Run, ...] = ()
    timed: tuple[Run, ...] = ()
    failed_runs: tuple[Run, ...] = ()
    worst_seed: int | None = None
    skewness: float | None = None
    promising: bool = False
    warnings: tuple[str, ...] = ()
    ablations: tuple[Ablated, ...] = ()
    scales: tuple[Scaled, ...] = ()


class Analysis(Record):
    """The analyzer's reply: words about an outcome that arithmetic has already decided."""

    reason: str
    lessons: tuple[str, ...]


class Verdict(Record):
    """Decided by arithmetic (outcome, cause, rule row, numbers), explained in words (reason, lessons).

    `diagnosis` says what the runs' own curves and clocks show beside it; nothing was decided by that.
    """

    outcome: Outcome
    cause: Cause | None
    row: int
    finding: str
    quantity: str = ""
    value: float | None = None
    reason: str = ""
    lessons: tuple[str, ...] = ()
    diagnosis: tuple[str, ...] = ()


class Answer(Record):
    """The measured number that a revision answers."""

    cause: Cause
    quantity: str
    value: float | None


class Revision(Record):
    """The revisor's reply: how V-Next answers the failure, or that the idea is exhausted."""

    exhausted: bool
    change: str
    answers: Answer | None = None
    variant: str = ""


class Version(Record):
    """One plan and patch of the idea, with all that happened to it.

    `brought`: a person's own diff, which nobody else repairs. `refused` says why a diff did not apply; `tip` is the
    newest commit of the branch, above the code commit.
    """

    n: int
    parent: int | None
    plan: Plan
    brought: bool = False
    patch: Patch | None = None
    refused: str = ""
    tip: str = ""
    attempts: tuple[Attempt, ...] = ()
    review: Review | None = None
    approval: Approval | None = None
    regression: Regression | None = None
    experiment: Experiment | None = None
    verdict: Verdict | None = None
    revision: Revision | None = None

    @property
    def repairs(self) -> tuple[Attempt, ...]:
        """The attempts that were sent back; what a person edited is not one."""
        return tuple(attempt for attempt in self.attempts if attempt.edit is None)

    @property
    def edits(self) -> tuple[tuple[Approval, str], ...]:
        """Each decision to edit, and the SHA-256 of the diff that came of it."""
        now = self.patch.diff_sha256 if self.patch else ""
        later = (*(attempt.diff_sha256 for attempt in self.attempts[1:]), now)
        return tuple((old.edit, new) for old, new in zip(self.attempts, later, strict=False) if old.edit)


class Victory(Record):
    """A version whose gain fresh seeds and hidden data confirmed."""

    branch: Branch
    commit: Commit
    effect: float
    ci: tuple[float, float]
    checkpoint: str
    paper: str
    idea_log: str


class Usage(Record):
    """What a researcher's calls of a model have used: dollars, tokens with cached and thinking ones, replies."""

    usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    model_calls: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            usd=self.usd + other.usd,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            model_calls=self.model_calls + other.model_calls,
        )


class Spend(Usage):
    """What a session has used so far."""

    runs: int = 0
    train_seconds: float = 0.0
    wall_seconds: float = 0.0


class Budget(Record):
    """What a session may use; None is no limit."""

    max_versions: int = 4
    max_runs: int | None = None
    max_hours: float | None = None
    max_usd: float | None = None
    max_tokens: int | None = None


class Tried(Record):
    """A version of an earlier session, and how it ended.

    `screened` is the mean gain on the visible split; `effect` with its interval `ci` may come from the hidden one, and
    is None while its session goes on. `ended` is the experiment's, None where nothing was compared.
    """

    session: str
    idea: str
    version: int
    preset: str = ""
    train_tokens: int = 0
    diff_sha256: str
    flags: tuple[str, ...]
    outcome: Outcome
    cause: Cause | None
    title: str = ""
    date: str = ""
    ended: Ending | None = None
    screened: float | None = None
    effect: float | None = None
    ci: tuple[float, float] | None = None
    lessons: tuple[str, ...] = ()

    @property
    def gained(self) -> float | None:
        """Its effect where that is known, else what its screen measured."""
        return self.screened if self.effect is None else self.effect

    @property
    def failed(self) -> bool:
        """Whether it was judged and did not win: what was dropped for better ideas, or had no runs left, was not."""
        return self.outcome != "win" and self.ended not in ("dropped", "budget")

    @property
    def told(self) -> dict[str, Any]:
        """What a researcher may know of it: no number of the hidden split."""
        return self.model_dump(mode="json", exclude={"effect", "ci"})


class Session(Record):
    """What a session is about; fixed when it starts.

    `tried` is what earlier sessions tried on the same code, `before` what they tried of this idea on other code. In a
    campaign the base may be an earlier win, whose flags are `standing`: on in both arms. Data and evaluation are then
    still those of `origin`, the commit of a person's; empty, it is the base itself. `floor_checked` says that the same
    night has measured the floor on record, or trained one of its runs again. `model` is what a researcher asks.
    A fork began at `step` of the session `parent`. Where the target lies is no part of the session's state.
    Diffs that touch files of `approve_scope` alone need no person, as `scope_by` said at the start. `lab` is where runs
    are trained, `track` where curves are mirrored to; like the target's place, neither is part of the session's state.
    """

    id: str
    idea: Idea
    target: str = ""
    base: Commit
    researcher: str
    preset: str
    train_tokens: int
    sandbox: str
    self_reported_metric: bool
    turbo: bool
    secret: str
    fresh_baseline: bool
    minimum_effect: float
    confidence: Confidence
    workers: int
    budget: Budget
    started_at: str
    scales: tuple[int, ...] = ()
    tried: tuple[Tried, ...] = ()
    before: tuple[Tried, ...] = ()
    campaign: str = ""
    origin: Commit | Literal[""] = ""
    standing: tuple[Flag, ...] = ()
    floor_checked: bool = False
    model: str = ""
    parent: str = ""
    step: int = 0
    approve_scope: tuple[str, ...] = ()
    scope_by: str = ""
    track: str = ""
    lab: str = "local"

    def tried_before(self, flags: tuple[Flag, ...]) -> Tried | None:
        """Return the newest failure of a version with these flags on other code, if there was one."""
        words = flag_words(flags)
        return next((old for old in reversed(self.before) if old.flags == words and old.failed), None)
