"""The `circle` command: parse, open the session, follow it, print. Heavy imports wait until a command needs them."""

from __future__ import annotations

import contextlib
import getpass
import json
import re
import signal
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agents.errors import CircleError, Interrupted, UsageError

if TYPE_CHECKING:
    from agents.records import Approval, Confidence, Plan
    from agents.session import Home, Opened
    from agents.settings import Start

app = typer.Typer(
    help='Research on language-model training that only says "it works" when it does.',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

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
SandboxOption = Annotated[bool, typer.Option("--no-sandbox", help="Run generated code unprotected; reports say so.")]
SecretOption = Annotated[str | None, typer.Option("--secret", help="Fixes the session's seed secret (hexadecimal).")]
FreshOption = Annotated[bool, typer.Option("--fresh-baseline", help="Measure the baseline anew.")]
FEWEST_SEEDS = 8
ID = Annotated[str, typer.Argument(metavar="ID", help="A session, as circle list shows it.")]
SHA = Annotated[str, typer.Option("--sha", help="The SHA-256 of the diff that was shown.")]


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
    researcher: Annotated[
        str | None, typer.Option(envvar="CIRCLE_RESEARCHER", help="catalogue, scripted:FILE, or none.")
    ] = None,
    patch: PatchOption = None,
    flags: FlagsOption = "",
    ablation: AblationOption = None,
    preset: PresetOption = None,
    train_tokens: TokensOption = None,
    scales: ScalesOption = None,
    turbo: Annotated[bool, typer.Option("--turbo", help="Approve every diff by itself; all other gates stay.")] = False,
    max_versions: Annotated[int | None, typer.Option(min=1, help="Versions of the idea at most.")] = None,
    max_runs: RunsOption = None,
    max_hours: HoursOption = None,
    minimum_effect: EffectOption = None,
    confidence: ConfidenceOption = None,
    workers: WorkersOption = None,
    no_sandbox: SandboxOption = False,
    secret: SecretOption = None,
    fresh_baseline: FreshOption = False,
    no_memory: Annotated[bool, typer.Option("--no-memory", help="Ignore what earlier sessions tried.")] = False,
    json_: JsonOption = False,
) -> None:
    """Start a session and follow it to its end or to the first approval."""
    from agents import session as sessions
    from agents.records import Budget
    from agents.researchers import open_researcher

    home, defaults = _committed_home(target)
    options = sessions.Options(
        preset=preset,
        train_tokens=train_tokens,
        turbo=turbo or defaults.turbo,
        budget=Budget(
            max_versions=max_versions or defaults.max_versions,
            max_runs=max_runs or defaults.max_runs,
            max_hours=max_hours or defaults.max_hours,
        ),
        minimum_effect=defaults.minimum_effect if minimum_effect is None else minimum_effect,
        confidence=confidence or defaults.confidence,
        scales=_scales(scales) or defaults.scales,
        workers=workers or defaults.workers,
        no_sandbox=no_sandbox,
        secret=_hexadecimal(secret),
        fresh_baseline=fresh_baseline,
        memory=not no_memory,
    )
    if (patch is None) != (not flags):
        raise UsageError("--patch and --flags go together: the diff, and the flags that turn it on.")
    brought = _brought(home, patch, flags, ablation or [], idea) if patch else None
    answers = open_researcher(researcher or defaults.researcher or "catalogue")
    opened = sessions.start(home, idea, answers, options, brought)
    print(f"session {opened.session.id}", file=sys.stderr, flush=True)
    _follow(opened, json_)


@app.command()
def judge(
    patch: PatchOption = None,
    flags: FlagsOption = "",
    title: Annotated[str, typer.Option(help="What the change is called (default: its flags).")] = "",
    ablation: AblationOption = None,
    null: Annotated[bool, typer.Option("--null", help="The self-test: arms that do not differ.")] = False,
    seeds: Annotated[int | None, typer.Option(min=FEWEST_SEEDS, help="Seeds of the self-test (default: 16).")] = None,
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
    json_: JsonOption = False,
) -> None:
    """Judge a diff of your own: the same gates and the same proof as any session's, and no researcher.

    With --null no diff is judged but the rules themselves, on this target's own noise.
    """
    from agents import session as sessions
    from agents.records import Budget
    from agents.researchers.nobody import Nobody

    home, defaults = _committed_home(target)
    proof = confidence or defaults.confidence
    if null:
        if patch or flags:
            raise UsageError("--null judges no diff: leave out --patch and --flags, or leave out --null.")
        if any((title, ablation, scales, max_runs, max_hours, minimum_effect, workers, secret, fresh_baseline)):
            raise UsageError("--null takes --seeds, --preset, --train-tokens, --confidence and --no-sandbox alone.")
        _judge_null(home, seeds, proof, json_, preset=preset, train_tokens=train_tokens, no_sandbox=no_sandbox)
        return
    if seeds is not None:
        raise UsageError("--seeds is for --null: the seeds of a verdict are the session's secret.")
    if not flags:
        raise UsageError("--flags is missing: the flags that turn the change on, or --null for the self-test.")
    options = sessions.Options(
        preset=preset,
        train_tokens=train_tokens,
        budget=Budget(max_versions=1, max_runs=max_runs, max_hours=max_hours),
        minimum_effect=defaults.minimum_effect if minimum_effect is None else minimum_effect,
        confidence=proof,
        scales=_scales(scales) or defaults.scales,
        workers=workers or defaults.workers,
        no_sandbox=no_sandbox,
        secret=_hexadecimal(secret),
        fresh_baseline=fresh_baseline,
        memory=False,
    )
    brought = _brought(home, patch, flags, ablation or [], title)
    if patch and not brought[0].strip():
        raise UsageError(f"The diff {patch} is empty: leave out --patch to judge flags alone.")
    opened = sessions.start(home, title, Nobody(), options, brought, author=getpass.getuser())
    print(f"session {opened.session.id}", file=sys.stderr, flush=True)
    _follow(opened, json_, whole=False)


@app.command("list")
def list_(target: TargetOption = None, json_: JsonOption = False) -> None:
    """List the sessions of the target, newest first."""
    from agents.plain_text import plain

    rows = [_row(opened) for opened in _home(target).sessions()]
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

    shown = document(_home(target).find(id_))
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

    bytes_, sha256 = newest_diff(_home(target).find(id_))
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
    _decide(_home(target).find(id_), "approved", sha, comment, json_)


@app.command()
def reject(
    id_: ID,
    sha: SHA,
    comment: Annotated[str, typer.Option(help="What the next version should do differently.")],
    target: TargetOption = None,
    json_: JsonOption = False,
) -> None:
    """Send the diff with that SHA-256 back to the planner, with words."""
    _decide(_home(target).find(id_), "rejected", sha, comment, json_)


@app.command()
def resume(id_: ID, target: TargetOption = None, json_: JsonOption = False) -> None:
    """Go on with a session that was stopped, interrupted or killed."""
    _follow(_home(target).find(id_), json_)


@app.command()
def stop(id_: ID, target: TargetOption = None) -> None:
    """Ask a running session to stop at its next boundary."""
    opened = _home(target).find(id_)
    if opened.status() != "running":
        print(f"Session {id_} is not running.")
        return
    opened.ask_to_stop()
    print(f"Session {id_} stops at its next boundary; circle resume {id_} goes on.")


@app.command()
def merge(id_: ID, target: TargetOption = None) -> None:
    """Merge a victory's branch into the current branch."""
    home = _home(target)
    won = home.find(id_).state().get("victory")
    if not won:
        raise CircleError(f"Session {id_} has no victory that could be merged.")
    print(f"Merged {won['branch']} as {home.workspace.merge(won['branch'])[:12]}.")


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

    home = _home(target)
    if more and not import_:
        raise UsageError(f"circle baseline takes a file only to import it: --import {more[0]}.")
    if import_:
        shown: dict[str, Any] = import_files(home, [*import_, *(more or ())], preset)
    else:
        with _display() as report:
            shown = standing(home, preset, report)
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

    for skill in discover(_root(target)):
        print(f"{skill.name:<24} {skill.origin:<7} {skill.file}\n    {skill.description}")


@app.command()
def doctor(target: TargetOption = None) -> None:
    """Check what a session needs, and say what to do for each thing that fails."""
    from agents.doctor import examine

    failed = False
    for check in examine(_root(target)):
        failed |= not check.passed
        print(f"{'ok ' if check.passed else 'NO '} {check.subject}: {check.finding}")
    if failed:
        raise CircleError("Something that a session needs is missing.")


def _row(opened: Opened) -> dict[str, str]:
    session = opened.session
    try:
        status: str = opened.status()
    except (CircleError, sqlite3.Error):
        status = "unreadable"
    return {"id": session.id, "status": status, "idea": session.idea.text, "started_at": session.started_at}


def _decide(opened: Opened, decision: Literal["approved", "rejected"], sha: str, comment: str, as_json: bool) -> None:
    from agents.session import check_waiting

    check_waiting(opened, sha)
    _follow(opened, as_json, _approval(decision, sha.lower(), comment))


def _approval(decision: Literal["approved", "rejected"], sha256: str, comment: str) -> Approval:
    from agents.records import Approval
    from agents.session import now

    return Approval(decision=decision, by=getpass.getuser(), at=now(), sha256=sha256, comment=comment)


def _follow(opened: Opened, as_json: bool, answer: Approval | None = None, whole: bool = True) -> None:
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
    raise typer.Exit(_exit_code(shown))


def _exit_code(shown: dict[str, Any]) -> int:
    return {"victory": 0, "concluded": 3, "awaiting_approval": 4}.get(shown["status"], CircleError.exit_code)


def _judge_null(home: Home, seeds: int | None, confidence: Confidence, as_json: bool, **scale: Any) -> None:
    from agents.measuring import measuring
    from agents.printing import print_null_test
    from agents.selftest import SEEDS, null_test

    with _display() as report, measuring(home, report, **scale) as bench:
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


def _committed_home(target: Path | None) -> tuple[Home, Start]:
    """Return a target that has a commit to start from, and the defaults that its committed circle.toml gives."""
    from agents.session import load_committed_target

    home = _home(target)
    return home, load_committed_target(home.workspace, home.workspace.head()).start


def _home(target: Path | None) -> Home:
    from agents.session import Home

    return Home(_root(target))


def _root(target: Path | None) -> Path:
    """Return the target's root: the folder that was named, or the repository around the current one."""
    if target is not None:
        if not target.is_dir():
            raise CircleError(f"There is no folder {target}: --target names a training repo.")
        return target.resolve()
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)


def _hexadecimal(secret: str | None) -> str | None:
    try:
        return bytes.fromhex(secret).hex() if secret else None
    except ValueError:
        raise UsageError(
            f"--secret {secret} is not hexadecimal: give an even number of the digits 0-9 and a-f."
        ) from None


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


def _brought(home: Home, patch: Path | None, flags: str, ablations: list[str], title: str) -> tuple[str, Plan]:
    from agents.brought import plan_of

    text = _diff_text(patch)
    return text, plan_of(home, text, flags, title or flags, ablations)


if __name__ == "__main__":
    main()
