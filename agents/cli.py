"""The `circle` command: parse, open the session, follow it, print. Heavy imports wait until a command needs them."""

from __future__ import annotations

import contextlib
import getpass
import json
import signal
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agents.errors import CircleError, Interrupted, UsageError
from agents.options import (
    ID,
    SHA,
    AblationOption,
    ConfidenceOption,
    DollarsOption,
    EffectOption,
    ErrorOption,
    FlagsOption,
    FreshOption,
    HoursOption,
    IdeasOption,
    JsonOption,
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
    SecretOption,
    SeedsOption,
    TargetOption,
    TokensOption,
    TurboOption,
    VersionsOption,
    WorkersOption,
    brought,
    committed_home,
    fork_changes,
    home,
    options_of,
    researcher_of,
    root,
)

if TYPE_CHECKING:
    from agents.notify import Event, Notifier
    from agents.records import Approval, Confidence
    from agents.session import Home, Opened

app = typer.Typer(
    help='Research on language-model training that only says "it works" when it does.',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; an error is one sentence and an exit code."""
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        app(standalone_mode=True)
    except (CircleError, Interrupted) as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("Interrupted.", Interrupted.exit_code)
    except sqlite3.Error as error:
        _fail(f"A file of the session cannot be read or written: {error}.", CircleError.exit_code)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"{error.strerror or error}{where}.", CircleError.exit_code)


def _fail(sentence: str, code: int) -> None:
    print(sentence, file=sys.stderr)
    sys.exit(code)


@app.command()
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
    max_versions: VersionsOption = None,
    max_runs: RunsOption = None,
    max_hours: HoursOption = None,
    max_usd: DollarsOption = None,
    max_tokens: ModelTokensOption = None,
    minimum_effect: EffectOption = None,
    confidence: ConfidenceOption = None,
    workers: WorkersOption = None,
    no_sandbox: SandboxOption = False,
    secret: SecretOption = None,
    fresh_baseline: FreshOption = False,
    no_memory: MemoryOption = False,
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
        no_sandbox=no_sandbox,
        secret=secret,
        fresh_baseline=fresh_baseline,
        memory=not no_memory,
        model=model,
        max_usd=max_usd,
        max_tokens=max_tokens,
    )
    if (patch is None) != (not flags):
        raise UsageError("--patch and --flags go together: the diff, and the flags that turn it on.")
    own = brought(place, patch, flags, ablation or [], idea) if patch else None
    answers = open_researcher(researcher_of(researcher, settings, options))
    opened = start_session(place, idea, answers, options, own)
    print(f"session {opened.session.id}", file=sys.stderr, flush=True)
    _follow(opened, json_, notify=tell)


@app.command()
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
    no_sandbox: SandboxOption = False,
    secret: SecretOption = None,
    fresh_baseline: FreshOption = False,
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
        if any((title, ablation, scales, max_runs, max_hours, minimum_effect, workers, secret, fresh_baseline)):
            raise UsageError("--null takes --seeds, --preset, --train-tokens, --confidence and --no-sandbox alone.")
        proof = confidence or defaults.confidence
        _judge_null(place, seeds, proof, json_, preset=preset, train_tokens=train_tokens, no_sandbox=no_sandbox)
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
        no_sandbox=no_sandbox,
        secret=secret,
        fresh_baseline=fresh_baseline,
        memory=False,
    )
    own = brought(place, patch, flags, ablation or [], title)
    if patch and not own[0].strip():
        raise UsageError(f"The diff {patch} is empty: leave out --patch to judge flags alone.")
    opened = start_session(place, title, Nobody(), options, own, author=getpass.getuser())
    print(f"session {opened.session.id}", file=sys.stderr, flush=True)
    _follow(opened, json_, whole=False, notify=tell)


@app.command()
def campaign(
    ideas: IdeasOption = None,
    hours: NightOption = 8.0,
    error: ErrorOption = 0.05,
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
    no_sandbox: SandboxOption = False,
    secret: SecretOption = None,
    no_memory: MemoryOption = False,
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
            no_sandbox=no_sandbox,
            secret=secret,
            memory=not no_memory,
            model=model,
            max_usd=max_usd,
            max_tokens=max_tokens,
        )
        opened = queue(place, ideas, researcher_of(researcher, settings, options), options, hours, error)
    print(f"campaign {opened.campaign.id}", file=sys.stderr, flush=True)
    with _display() as report:
        shown, page = follow(opened, report, tell)
    print(json.dumps(shown, indent=1) if json_ else page)
    raise typer.Exit(_exit_code(shown))


@app.command("ideas")
def ideas_(
    words: Annotated[list[str] | None, typer.Argument(help="Only what has all of these words.")] = None,
    target: TargetOption = None,
    json_: JsonOption = False,
) -> None:
    """List what the sessions of the target have tried, newest first: status, effect, cause, lessons."""
    from agents.memory import remembered, unreadable
    from agents.printing import print_ideas

    place = home(target)
    found = remembered(place, words or [])
    if damaged := unreadable(place):
        print(f"warning: what these sessions tried cannot be read: {', '.join(damaged)}.", file=sys.stderr)
    if json_:
        print(json.dumps(found, indent=1))
    else:
        print_ideas(found, sought=bool(words))


@app.command("list")
def list_(target: TargetOption = None, json_: JsonOption = False) -> None:
    """List the sessions of the target, newest first."""
    from agents.plain_text import plain

    rows = [_row(opened) for opened in home(target).sessions()]
    if json_:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(f"{row['id']}  {row['status']:<17}  {row['started_at']}  {plain(row['idea'])}")


@app.command()
def show(id_: ID, target: TargetOption = None, json_: JsonOption = False) -> None:
    """Show one session, whole."""
    from agents.printing import print_session
    from agents.show import document

    shown = document(home(target).find(id_))
    if json_:
        print(json.dumps(shown, indent=1))
    else:
        print_session(shown)


@app.command()
def diff(
    id_: ID, raw: Annotated[bool, typer.Option("--raw", help="The exact bytes.")] = False, target: TargetOption = None
) -> None:
    """Print the session's newest diff and its SHA-256."""
    from agents.plain_text import plain_lines
    from agents.session import newest_diff

    bytes_, sha256 = newest_diff(home(target).find(id_))
    if raw:
        sys.stdout.buffer.write(bytes_)
        return
    print(plain_lines(bytes_.decode(errors="backslashreplace")) or "(no change in any file: flags alone)")
    print(f"SHA-256 {sha256}")


@app.command()
def approve(
    id_: ID,
    sha: SHA,
    comment: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    target: TargetOption = None,
    json_: JsonOption = False,
) -> None:
    """Approve the diff with that SHA-256 and go on."""
    _decide(home(target).find(id_), "approved", sha, comment, json_)


@app.command()
def reject(
    id_: ID,
    sha: SHA,
    comment: Annotated[str, typer.Option(help="What the next version should do differently.")],
    target: TargetOption = None,
    json_: JsonOption = False,
) -> None:
    """Send the diff with that SHA-256 back to the planner, with words."""
    _decide(home(target).find(id_), "rejected", sha, comment, json_)


@app.command()
def resume(
    id_: ID,
    target: TargetOption = None,
    max_versions: VersionsOption = None,
    max_runs: RunsOption = None,
    max_hours: HoursOption = None,
    max_usd: DollarsOption = None,
    max_tokens: ModelTokensOption = None,
    json_: JsonOption = False,
) -> None:
    """Go on with a session that was stopped, interrupted or killed; with a raised budget as a fork of it."""
    from agents.campaign.board import check_current
    from agents.family import fork as fork_session
    from agents.family import where_it_stopped

    opened = home(target).find(id_)
    check_current(opened)
    raised = _limits(max_versions, max_runs, max_hours, max_usd, max_tokens)
    if raised:
        settings = committed_home(target)[1]
        changes = fork_changes(opened.session, settings, None, None, None, raised)
        opened = fork_session(opened, where_it_stopped(opened), changes)
        print(f"session {opened.session.id}", file=sys.stderr, flush=True)
    _follow(opened, json_)


@app.command()
def replay(id_: ID, target: TargetOption = None, json_: JsonOption = False) -> None:
    """Walk through a session again from its journal: nothing is asked, trained or committed. 1 if it diverged."""
    from agents.replay import replay as replay_session

    shown = replay_session(home(target).find(id_))
    if json_:
        print(json.dumps(shown, indent=1))
    elif shown["identical"]:
        seconds = f"{shown['wall_seconds']:.2f} s"
        print(f"Identical: {shown['steps']} steps, {seconds}; nothing was asked, trained or committed.")
    else:
        found = shown["first_divergence"]
        print(f"Diverged at step {found['step']}, {found['node']}: {found['what']}")
    raise typer.Exit(0 if shown["identical"] else CircleError.exit_code)


@app.command()
def log(id_: ID, target: TargetOption = None, json_: JsonOption = False) -> None:
    """List the steps of a session, numbered, and its family of forks."""
    from agents.family import family, steps
    from agents.printing import print_log

    opened = home(target).find(id_)
    found, relatives = steps(opened), family(home(target), opened)
    if json_:
        print(json.dumps({"id": id_, "steps": [step.model_dump() for step in found], "family": relatives}, indent=1))
    else:
        print_log(found, relatives, id_)


@app.command()
def fork(
    id_: ID,
    at: Annotated[int, typer.Option("--at", min=1, help="The step to go on from, as circle log numbers them.")],
    idea: Annotated[str | None, typer.Option(help="Another idea.")] = None,
    target: TargetOption = None,
    researcher: ResearcherOption = None,
    model: ModelOption = None,
    max_versions: VersionsOption = None,
    max_runs: RunsOption = None,
    max_hours: HoursOption = None,
    max_usd: DollarsOption = None,
    max_tokens: ModelTokensOption = None,
    json_: JsonOption = False,
) -> None:
    """Start a new session from a step of an old one, with another idea, researcher or budget; the old one stays."""
    from agents.family import fork as fork_session

    place, settings = committed_home(target)
    opened = place.find(id_)
    raised = _limits(max_versions, max_runs, max_hours, max_usd, max_tokens)
    changes = fork_changes(opened.session, settings, idea, researcher, model, raised)
    made = fork_session(opened, at, changes)
    print(f"session {made.session.id}", file=sys.stderr, flush=True)
    _follow(made, json_)


@app.command()
def export(id_: ID, file: Annotated[Path, typer.Argument(help="A new file.")], target: TargetOption = None) -> None:
    """Write a session to a file, to carry it elsewhere: no key and no path of this machine is in it."""
    from agents.carry import export as export_session

    export_session(home(target).find(id_), file)
    print(f"Wrote {file}, {file.stat().st_size / 1e6:.2f} MB; circle import {file} puts it among other sessions.")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What circle export wrote.")], target: TargetOption = None
) -> None:
    """Put an exported session among those of this folder; it is replayed without its target."""
    from agents.carry import bring

    name = bring(home(target), file).session.id
    print(f"Session {name} is here: circle replay {name}.")


@app.command()
def stop(id_: ID, target: TargetOption = None) -> None:
    """Ask a running session to stop at its next boundary."""
    opened = home(target).find(id_)
    if opened.status() != "running":
        print(f"Session {id_} is not running.")
        return
    opened.ask_to_stop()
    print(f"Session {id_} stops at its next boundary; circle resume {id_} goes on.")


@app.command()
def merge(id_: ID, target: TargetOption = None) -> None:
    """Merge a victory's branch into the current branch."""
    place = home(target)
    won = place.find(id_).state().get("victory")
    if not won:
        raise CircleError(f"Session {id_} has no victory that could be merged.")
    print(f"Merged {won['branch']} as {place.workspace.merge(won['branch'])[:12]}.")


@app.command()
def baseline(
    more: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="Further files for --import.")] = None,
    import_: Annotated[
        list[Path] | None,
        typer.Option("--import", metavar="FILE...", help="Published metrics files, or folders, for reference only."),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="The scale, a preset of circle.toml.")] = None,
    target: TargetOption = None,
    json_: JsonOption = False,
) -> None:
    """Measure, import or show the baseline and its noise floor."""
    from agents.baselines import import_files, standing
    from agents.printing import print_imported

    place = home(target)
    if more and not import_:
        raise UsageError(f"circle baseline takes a file only to import it: --import {more[0]}.")
    if import_:
        shown: dict[str, Any] = import_files(place, [*import_, *(more or ())], preset)
    else:
        with _display() as report:
            shown = standing(place, preset, report)
    if json_:
        print(json.dumps(shown, indent=1))
        return
    if "mean" in shown:
        print(
            f"{shown['metric']} {shown['mean']:.4f} ± {shown['std']:.4f} over {shown['n']} seeds ({shown['direction']})"
        )
    if shown["imported"]:
        print_imported(shown["imported"], shown["imported_summary"])


@app.command()
def skills(target: TargetOption = None) -> None:
    """List the skills in use and where each comes from."""
    from agents.skills import discover

    for skill in discover(root(target)):
        print(f"{skill.name:<24} {skill.origin:<7} {skill.file}\n    {skill.description}")


@app.command()
def mcp(target: TargetOption = None) -> None:
    """Serve this target's sessions to a coding agent over the Model Context Protocol, on standard input and output."""
    try:
        from agents.mcp_server import serve

        server = serve(home(target))
    except ImportError as error:
        raise CircleError("The library mcp is not installed: pip install 'circle-research[mcp]'.") from error
    server.run()


@app.command()
def doctor(target: TargetOption = None) -> None:
    """Check what a session needs, and say what to do for each thing that fails."""
    from agents.doctor import examine

    failed = False
    for check in examine(root(target)):
        failed |= not check.passed
        print(f"{'ok ' if check.passed else 'NO '} {check.subject}: {check.finding}")
    if failed:
        raise CircleError("Something that a session needs is missing.")


def _limits(
    versions: int | None, runs: int | None, hours: float | None, usd: float | None, tokens: int | None
) -> dict[str, float]:
    """The limits that were said."""
    said = {"max_versions": versions, "max_runs": runs, "max_hours": hours, "max_usd": usd, "max_tokens": tokens}
    return {name: value for name, value in said.items() if value is not None}


def _row(opened: Opened) -> dict[str, str]:
    session = opened.session
    try:
        status: str = opened.status()
    except (CircleError, sqlite3.Error):
        status = "unreadable"
    return {"id": session.id, "status": status, "idea": session.idea.text, "started_at": session.started_at}


def _decide(opened: Opened, decision: Literal["approved", "rejected"], sha: str, comment: str, as_json: bool) -> None:
    from agents.campaign.board import check_current
    from agents.session import check_waiting

    check_waiting(opened, sha)
    check_current(opened)
    _follow(opened, as_json, _approval(decision, sha.lower(), comment))


def _approval(decision: Literal["approved", "rejected"], sha256: str, comment: str) -> Approval:
    from agents.records import Approval
    from agents.session import now

    return Approval(decision=decision, by=getpass.getuser(), at=now(), sha256=sha256, comment=comment)


def _follow(
    opened: Opened,
    as_json: bool,
    answer: Approval | None = None,
    whole: bool = True,
    notify: Notifier | None = None,
) -> None:
    """Drive the session, print how it stands, and exit with the code that says so.

    As JSON it is shown `whole`, or as its first version alone.
    """
    from agents.drive import drive
    from agents.printing import print_session
    from agents.show import document

    with _display() as report:
        drive(opened, report, answer)
    shown = document(opened)
    if as_json:
        print(json.dumps(shown if whole else {"session": opened.session.id, **shown["versions"][0]}, indent=1))
    else:
        print_session(shown)
    if notify is not None:
        notify(*_news(shown))
    raise typer.Exit(_exit_code(shown))


def _news(shown: dict[str, Any]) -> tuple[Event, str, str]:
    """What a person who looks elsewhere is told of a session that has come to a stand."""
    events: dict[str, Event] = {"awaiting_approval": "approval", "victory": "victory"}
    return events.get(shown["status"], "end"), f"{shown['idea']}: {shown['status'].replace('_', ' ')}", shown["id"]


def _exit_code(shown: dict[str, Any]) -> int:
    codes = {"victory": 0, "concluded": 3, "awaiting_approval": 4, "stopped": Interrupted.exit_code}
    return codes.get(shown["status"], CircleError.exit_code)


def _judge_null(place: Home, seeds: int | None, confidence: Confidence, as_json: bool, **scale: Any) -> None:
    from agents.measuring import measuring
    from agents.printing import print_null_test
    from agents.selftest import SEEDS, null_test

    with _display() as report, measuring(place, report, **scale) as bench:
        shown = null_test(bench, seeds=seeds or SEEDS, confidence=confidence)
    if as_json:
        print(json.dumps(shown, indent=1))
    else:
        print_null_test(shown)
    if not shown["identical"]:
        raise CircleError("The same seed does not give the same result here: no verdict can rest on this target.")


@contextlib.contextmanager
def _display() -> Any:
    from rich.console import Console

    from agents.display import Display

    display = Display(Console(stderr=True))
    try:
        yield display
    finally:
        display.close()


if __name__ == "__main__":
    main()
