"""Starts sessions, and measurements outside any: `circle start`, `judge` and `campaign`."""

from __future__ import annotations

import getpass
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.commands.following import announce, display, exit_code, follow
from agents.errors import CircleError, UsageError
from agents.options import (
    AblationOption,
    AtOnceOption,
    ConfidenceOption,
    DollarsOption,
    EffectOption,
    ErrorOption,
    FlagsOption,
    FreshOption,
    HoursOption,
    IdeasOption,
    JsonOption,
    LabOption,
    MemoryOption,
    ModelOption,
    ModelTokensOption,
    NightOption,
    NotifyOption,
    PatchOption,
    PresetOption,
    ResearcherOption,
    ResumeOption,
    RunsOption,
    SandboxOption,
    ScalesOption,
    ScopeOption,
    SecretOption,
    SeedsOption,
    TargetOption,
    TokensOption,
    TrackOption,
    TurboOption,
    VersionsOption,
    WorkersOption,
    brought,
    committed_home,
    home,
    options_of,
    researcher_of,
    scope_given,
)

if TYPE_CHECKING:
    from agents.records import Confidence
    from agents.session import Home


def start(
    idea: Annotated[
        str, typer.Argument(help="What is to be tried, in words; the researcher chooses if left out.")
    ] = "",
    target: TargetOption = None,
    researcher: ResearcherOption = None,
    model: ModelOption = None,
    patch: PatchOption = None,
    flags: FlagsOption = "",
    ablation: AblationOption = None,
    preset: PresetOption = None,
    train_tokens: TokensOption = None,
    scales: ScalesOption = None,
    turbo: TurboOption = False,
    approve_scope: ScopeOption = None,
    max_versions: VersionsOption = None,
    max_runs: RunsOption = None,
    max_hours: HoursOption = None,
    max_usd: DollarsOption = None,
    max_tokens: ModelTokensOption = None,
    minimum_effect: EffectOption = None,
    confidence: ConfidenceOption = None,
    workers: WorkersOption = None,
    lab: LabOption = None,
    no_sandbox: SandboxOption = False,
    secret: SecretOption = None,
    fresh_baseline: FreshOption = False,
    no_memory: MemoryOption = False,
    track: TrackOption = None,
    notify: NotifyOption = None,
    json_: JsonOption = False,
) -> None:
    """Start a session and follow it to its end or to the first approval."""
    from agents.notify import notifier
    from agents.researchers import open_researcher
    from agents.session import start as start_session

    tell = notifier(notify)
    place, settings = committed_home(target)
    defaults = settings.start
    options = options_of(
        defaults,
        preset=preset,
        train_tokens=train_tokens,
        turbo=turbo,
        max_versions=max_versions,
        max_runs=max_runs,
        max_hours=max_hours,
        minimum_effect=minimum_effect,
        confidence=confidence,
        scales=scales,
        workers=workers,
        lab=lab,
        no_sandbox=no_sandbox,
        secret=secret,
        fresh_baseline=fresh_baseline,
        memory=not no_memory,
        model=model,
        max_usd=max_usd,
        max_tokens=max_tokens,
        scope=scope_given(place, settings, approve_scope),
        track=track,
    )
    if (patch is None) != (not flags):
        raise UsageError("--patch and --flags go together: the diff, and the flags that turn it on.")
    own = brought(place, patch, flags, ablation or [], idea) if patch else None
    answers = open_researcher(researcher_of(researcher, settings, options), settings)
    opened = start_session(place, idea, answers, options, own)
    announce(opened)
    follow(opened, json_, notify=tell)


def judge(
    patch: PatchOption = None,
    flags: FlagsOption = "",
    title: Annotated[str, typer.Option(help="What the change is called (default: its flags).")] = "",
    ablation: AblationOption = None,
    null: Annotated[bool, typer.Option("--null", help="The self-test: arms that do not differ.")] = False,
    seeds: SeedsOption = None,
    target: TargetOption = None,
    preset: PresetOption = None,
    train_tokens: TokensOption = None,
    scales: ScalesOption = None,
    max_runs: RunsOption = None,
    max_hours: HoursOption = None,
    minimum_effect: EffectOption = None,
    confidence: ConfidenceOption = None,
    workers: WorkersOption = None,
    lab: LabOption = None,
    no_sandbox: SandboxOption = False,
    secret: SecretOption = None,
    fresh_baseline: FreshOption = False,
    track: TrackOption = None,
    notify: NotifyOption = None,
    json_: JsonOption = False,
) -> None:
    """Judge a diff of your own: the same gates and the same proof as any session's, and no researcher.

    With --null no diff is judged but the rules themselves, on this target's own noise.
    """
    from agents.notify import notifier
    from agents.researchers.nobody import Nobody
    from agents.session import start as start_session

    tell = notifier(notify)
    place, settings = committed_home(target)
    defaults = settings.start
    if null:
        if patch or flags:
            raise UsageError("--null judges no diff: leave out --patch and --flags, or leave out --null.")
        if any((title, ablation, scales, max_runs, max_hours, minimum_effect, workers, secret, fresh_baseline, track)):
            raise UsageError("--null takes --seeds, --preset, --train-tokens, --confidence, --lab, --no-sandbox alone.")
        proof = confidence or defaults.confidence
        scale: dict[str, Any] = {"preset": preset, "train_tokens": train_tokens}
        _judge_null(place, seeds, proof, json_, **scale, no_sandbox=no_sandbox, lab=lab or defaults.lab)
        return
    if seeds is not None:
        raise UsageError("--seeds is for --null: the seeds of a verdict are the session's secret.")
    if not flags:
        raise UsageError("--flags is missing: the flags that turn the change on, or --null for the self-test.")
    options = options_of(
        defaults.model_copy(update={"turbo": False, "max_runs": None, "max_hours": None}),
        preset=preset,
        train_tokens=train_tokens,
        max_versions=1,
        max_runs=max_runs,
        max_hours=max_hours,
        minimum_effect=minimum_effect,
        confidence=confidence,
        scales=scales,
        workers=workers,
        lab=lab,
        no_sandbox=no_sandbox,
        secret=secret,
        fresh_baseline=fresh_baseline,
        memory=False,
        track=track,
    )
    own = brought(place, patch, flags, ablation or [], title)
    if patch and not own[0].strip():
        raise UsageError(f"The diff {patch} is empty: leave out --patch to judge flags alone.")
    opened = start_session(place, title, Nobody(), options, own, author=getpass.getuser())
    announce(opened)
    follow(opened, json_, whole=False, notify=tell)


def campaign(
    ideas: IdeasOption = None,
    hours: NightOption = 8.0,
    error: ErrorOption = 0.05,
    at_once: AtOnceOption = 1,
    resume: ResumeOption = None,
    target: TargetOption = None,
    researcher: ResearcherOption = None,
    model: ModelOption = None,
    preset: PresetOption = None,
    train_tokens: TokensOption = None,
    turbo: TurboOption = False,
    max_versions: VersionsOption = None,
    max_runs: RunsOption = None,
    max_usd: DollarsOption = None,
    max_tokens: ModelTokensOption = None,
    minimum_effect: EffectOption = None,
    confidence: ConfidenceOption = None,
    workers: WorkersOption = None,
    lab: LabOption = None,
    no_sandbox: SandboxOption = False,
    secret: SecretOption = None,
    no_memory: MemoryOption = False,
    track: TrackOption = None,
    notify: NotifyOption = None,
    json_: JsonOption = False,
) -> None:
    """Work through a queue of ideas overnight: confirmations go to the best, and a win is the next baseline."""
    from agents.campaign.command import follow, queue
    from agents.campaign.record import find_campaign
    from agents.notify import notifier

    tell = notifier(notify)
    if resume is not None:
        if ideas:
            raise UsageError("--resume goes on with the queue that the campaign has: leave out --ideas.")
        opened = find_campaign(home(target), resume)
    else:
        place, settings = committed_home(target)
        defaults = settings.start
        options = options_of(
            defaults.model_copy(update={"max_hours": None}),
            preset=preset,
            train_tokens=train_tokens,
            turbo=turbo,
            max_versions=max_versions,
            max_runs=max_runs,
            max_hours=None,
            minimum_effect=minimum_effect,
            confidence=confidence,
            workers=workers,
            lab=lab,
            no_sandbox=no_sandbox,
            secret=secret,
            memory=not no_memory,
            model=model,
            max_usd=max_usd,
            max_tokens=max_tokens,
            track=track,
        )
        opened = queue(place, ideas, researcher_of(researcher, settings, options), options, hours, error, at_once)
    print(f"campaign {opened.campaign.id}", file=sys.stderr, flush=True)
    with display() as report:
        shown, page = follow(opened, report, tell)
    print(json.dumps(shown, indent=1) if json_ else page)
    raise typer.Exit(exit_code(shown))


def _judge_null(place: Home, seeds: int | None, confidence: Confidence, as_json: bool, **scale: Any) -> None:
    from agents.measuring import measuring
    from agents.printing import print_null_test
    from agents.selftest import SEEDS, null_test

    with display() as report, measuring(place, report, **scale) as bench:
        shown = null_test(bench, seeds=seeds or SEEDS, confidence=confidence)
    if as_json:
        print(json.dumps(shown, indent=1))
    else:
        print_null_test(shown)
    if not shown["identical"]:
        raise CircleError("The same seed does not give the same result here: no verdict can rest on this target.")
