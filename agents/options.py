"""The options that several commands of `circle` share, as Typer takes them, and what becomes of them.

Nothing heavy is imported before a command asks for it.
"""

from __future__ import annotations

import getpass
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agents.errors import CircleError, UsageError

if TYPE_CHECKING:
    from agents.family import Changes
    from agents.records import Confidence, Plan, Session
    from agents.session import Home, Options
    from agents.settings import Start, Target

TargetOption = Annotated[
    Path | None, typer.Option("--target", envvar="CIRCLE_TARGET", help="The training repo (default: the current one).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
PatchOption = Annotated[
    Path | None, typer.Option("--patch", metavar="FILE", help="Your own diff; - reads it from standard input.")
]
FlagsOption = Annotated[str, typer.Option("--flags", help='The flags that turn your diff on: "--name value ...".')]
AblationOption = Annotated[
    list[str] | None,
    typer.Option("--ablation", metavar="FLAGS", help="Simpler flags to try after a win, repeatable: is it the trick?"),
]
PresetOption = Annotated[
    str | None, typer.Option("--preset", envvar="CIRCLE_PRESET", help="The scale, a preset of circle.toml.")
]
TokensOption = Annotated[
    int | None, typer.Option("--train-tokens", min=1, help="Tokens of a run (default: the preset's).")
]
ScalesOption = Annotated[
    str | None, typer.Option("--scales", metavar="TOKENS,...", help="Try a win there, too: 500k,2M.")
]
RunsOption = Annotated[int | None, typer.Option("--max-runs", min=1, help="Training runs at most.")]
HoursOption = Annotated[float | None, typer.Option("--max-hours", min=0.001, help="Hours at most.")]
EffectOption = Annotated[
    float | None, typer.Option("--minimum-effect", min=0, help="The least gain that counts as a win.")
]
ConfidenceOption = Annotated[
    Literal["standard", "relaxed", "strict"] | None,
    typer.Option("--confidence", help="Errors: 1 %, 3 %, or 1 % over 5 tries, not 3."),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Runs side by side (default: cores over threads).")
]
TrackOption = Annotated[
    str | None, typer.Option("--track", metavar="NAME", help="Mirror curves and verdicts: tensorboard or mlflow.")
]
LabOption = Annotated[
    str | None, typer.Option("--lab", metavar="NAME", help="Where runs are trained: local, ray, ray:ADDRESS.")
]
SandboxOption = Annotated[bool, typer.Option("--no-sandbox", help="Run generated code unprotected; reports say so.")]
SecretOption = Annotated[str | None, typer.Option("--secret", help="Fixes the session's seed secret (hexadecimal).")]
FreshOption = Annotated[bool, typer.Option("--fresh-baseline", help="Measure the baseline anew.")]
TurboOption = Annotated[bool, typer.Option("--turbo", help="Approve every diff by itself; all other gates stay.")]
ScopeOption = Annotated[
    str | None,
    typer.Option("--approve-scope", metavar="PATHS", help="Approve diffs of these files or folders/ alone: a.py,b/."),
]
VersionsOption = Annotated[int | None, typer.Option("--max-versions", min=1, help="Versions of the idea at most.")]
ResearcherOption = Annotated[
    str | None,
    typer.Option("--researcher", envvar="CIRCLE_RESEARCHER", help="claude, catalogue, scripted:FILE, or none."),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", envvar="CIRCLE_MODEL", help="What claude asks (default: circle.toml's).")
]
DollarsOption = Annotated[float | None, typer.Option("--max-usd", min=0.0001, help="Dollars for the model at most.")]
ModelTokensOption = Annotated[
    int | None, typer.Option("--max-tokens", min=1, help="Tokens of the model at most, in and out.")
]
SeedsOption = Annotated[int | None, typer.Option("--seeds", min=8, help="Seeds of the self-test (default: 16).")]
NotifyOption = Annotated[
    str | None,
    typer.Option("--notify", metavar="COMMAND", envvar="CIRCLE_NOTIFY", help="Run on approval, victory and end."),
]
MemoryOption = Annotated[bool, typer.Option("--no-memory", help="Ignore what earlier sessions tried.")]
IdeasOption = Annotated[
    Path | None, typer.Option("--ideas", metavar="FILE", help="An idea a line, or TOML or JSON with diffs and flags.")
]
NightOption = Annotated[float, typer.Option("--hours", min=0.001, help="How long the night is.")]
ErrorOption = Annotated[
    float, typer.Option("--error", min=0.0, max=0.5, help="How often a night of useless ideas may claim a win.")
]
AtOnceOption = Annotated[
    int, typer.Option("--at-once", min=1, max=4, help="Ideas that are screened side by side, as branches.")
]
ResumeOption = Annotated[str | None, typer.Option("--resume", metavar="ID", help="Go on with a campaign.")]
ID = Annotated[str, typer.Argument(metavar="ID", help="A session, as circle list shows it.")]
ShownOption = Annotated[
    int | None, typer.Option("--version", metavar="N", help="The version that was shown: another one is refused.")
]
SHA = Annotated[str, typer.Option("--sha", help="The SHA-256 of the diff that was shown.")]


def options_of(
    defaults: Start,
    *,
    preset: str | None,
    train_tokens: int | None,
    max_runs: int | None,
    max_hours: float | None,
    minimum_effect: float | None,
    confidence: Confidence | None,
    workers: int | None,
    no_sandbox: bool,
    secret: str | None,
    scales: str | None = None,
    fresh_baseline: bool = False,
    turbo: bool = False,
    max_versions: int | None = None,
    memory: bool = True,
    model: str | None = None,
    max_usd: float | None = None,
    max_tokens: int | None = None,
    scope: tuple[tuple[str, ...], str] = ((), ""),
    track: str | None = None,
    lab: str | None = None,
) -> Options:
    """Return what a session is started with: what was said, and the target's default where nothing was."""
    from agents.records import Budget
    from agents.session import Options

    return Options(
        preset=preset,
        train_tokens=train_tokens,
        turbo=turbo or defaults.turbo,
        budget=Budget(
            max_versions=max_versions or defaults.max_versions,
            max_runs=max_runs or defaults.max_runs,
            max_hours=max_hours or defaults.max_hours,
            max_usd=max_usd or defaults.max_usd,
            max_tokens=max_tokens or defaults.max_tokens,
        ),
        minimum_effect=defaults.minimum_effect if minimum_effect is None else minimum_effect,
        confidence=confidence or defaults.confidence,
        scales=_scales(scales) or defaults.scales,
        workers=workers or defaults.workers,
        no_sandbox=no_sandbox,
        secret=_hexadecimal(secret),
        fresh_baseline=fresh_baseline,
        memory=memory,
        model=model,
        approve_scope=scope[0],
        scope_by=scope[1],
        track=_track(track or defaults.track),
        lab=_lab(lab or defaults.lab),
    )


def scope_given(home: Home, target: Target, said: str | None) -> tuple[tuple[str, ...], str]:
    """Return the files that need no person's approval, and who says so: whoever starts this, or circle.toml."""
    from agents.scope import scope_of
    from agents.settings import FILE

    words = target.start.approve_scope if said is None else said.split(",")
    files = home.workspace.files(home.workspace.head()) if words else ()
    scope = scope_of(words, target, files)
    return scope, (FILE if said is None else getpass.getuser()) if scope else ""


def committed_home(target: Path | None) -> tuple[Home, Target]:
    """Return a target that has a commit to start from, and its committed circle.toml, which gives the defaults."""
    from agents.session import load_committed_target

    found = home(target)
    return found, load_committed_target(found.workspace, found.workspace.head())


def researcher_of(name: str | None, target: Target, options: Options) -> str:
    """Return who is to answer: who was named, the target's default, or who can; raise UsageError if they cannot."""
    from agents.researchers import check_model, default_name

    chosen = name or target.start.researcher or default_name(target)
    model = target.model.model_copy(update={"name": options.model or target.model.name})
    check_model(chosen, model, limited=options.budget.max_usd is not None)
    return chosen


def home(target: Path | None) -> Home:
    """Return the `.circle` folder of the target."""
    from agents.session import Home

    return Home(root(target))


def root(target: Path | None) -> Path:
    """Return the target's root: the folder that was named, or the repository around the current one."""
    if target is not None:
        if not target.is_dir():
            raise CircleError(f"There is no folder {target}: --target names a training repo.")
        return target.resolve()
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)


def brought(home: Home, patch: Path | None, flags: str, ablations: list[str], title: str) -> tuple[str, Plan]:
    """Return a person's own diff, and the plan that its flags are."""
    from agents.brought import plan_of

    text = _diff_text(patch)
    return text, plan_of(home, text, flags, title or flags, ablations)


def fork_changes(
    session: Session,
    target: Target,
    idea: str | None,
    researcher: str | None,
    model: str | None,
    raised: dict[str, float],
) -> Changes:
    """Return what a fork does differently; raise UsageError if its researcher could not answer."""
    from agents.family import Changes
    from agents.researchers import check_model, open_researcher

    budget = session.budget.model_copy(update=raised)
    name = researcher or session.researcher
    asked = model or session.model or target.model.name
    if name == "claude":
        check_model(name, target.model.model_copy(update={"name": asked}), limited=budget.max_usd is not None)
    return Changes(idea, open_researcher(name, target).name, asked if name == "claude" else "", budget)


def _hexadecimal(secret: str | None) -> str | None:
    try:
        return bytes.fromhex(secret).hex() if secret else None
    except ValueError:
        raise UsageError(
            f"--secret {secret} is not hexadecimal: give an even number of the digits 0-9 and a-f."
        ) from None


def _track(name: str) -> str:
    """Return the name of a tracker, once it is sure that there is one."""
    from agents.tracking import check_tracker

    return check_tracker(name)


def _lab(name: str) -> str:
    """Return the name of a laboratory, once it is sure that there is one."""
    from agents.laboratory.choice import cluster_of

    cluster_of(name)
    return name


def _scales(text: str | None) -> tuple[int, ...]:
    """Return numbers of tokens from words such as 500k,2M."""
    found = [re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMbB]?)", part.strip()) for part in text.split(",")] if text else []
    factors = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
    tokens = tuple(round(float(match[1]) * factors[match[2].lower()]) for match in found if match)
    if len(tokens) < len(found) or 0 in tokens:
        raise UsageError(f"--scales {text} are no numbers of tokens: write them as 500k,2M.")
    return tokens


def _diff_text(patch: Path | None) -> str:
    """Return a person's own diff; none at all is a change of flags alone."""
    if patch is None:
        return ""
    try:
        return (sys.stdin.buffer.read() if str(patch) == "-" else patch.read_bytes()).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The diff {patch} cannot be read: {error}.") from error
