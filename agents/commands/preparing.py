"""What a session stands on: `circle init`, `baseline`, `skills`, `doctor` and `mcp`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from agents.commands.following import display
from agents.errors import CircleError, UsageError
from agents.options import (
    JsonOption,
    SandboxOption,
    TargetOption,
    home,
    root,
)


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
        with display() as report:
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


def init(
    path: Annotated[Path | None, typer.Argument(help="The training repo (default: the current one).")] = None,
    script: Annotated[str, typer.Option(metavar="FILE", help="The script that trains, if another is found.")] = "",
    metric: Annotated[str, typer.Option(metavar="NAME", help="The metric, if another is found.")] = "",
    direction: Annotated[Literal["min", "max"] | None, typer.Option(help="Which way the metric is better.")] = None,
    words: Annotated[str, typer.Option(metavar="WORDS", help="What else the train command needs.")] = "",
    no_sandbox: SandboxOption = False,
) -> None:
    """Write the circle.toml of a training repo after short real runs, or check the one that it has."""
    from agents.printing import print_found
    from agents.scout.initialise import Told, initialise

    place = root(path)
    with display() as report:
        told = Told(script, metric, direction, tuple(shlex.split(words)))
        found = initialise(place, told, no_sandbox=no_sandbox, report=report)
    print_found(found, place)


def skills(target: TargetOption = None) -> None:
    """List the skills in use and where each comes from."""
    from agents.skills import discover

    for skill in discover(root(target)):
        print(f"{skill.name:<24} {skill.origin:<7} {skill.file}\n    {skill.description}")


def mcp(target: TargetOption = None) -> None:
    """Serve this target's sessions to a coding agent over the Model Context Protocol, on standard input and output."""
    try:
        from agents.mcp_server import serve

        server = serve(home(target))
    except ImportError as error:
        raise CircleError("The library mcp is not installed: pip install 'circle-research[mcp]'.") from error
    server.run()


def doctor(target: TargetOption = None) -> None:
    """Check what a session needs, and say what to do for each thing that fails."""
    from agents.doctor import examine

    failed = False
    for check in examine(root(target)):
        failed |= not check.passed
        print(f"{'ok ' if check.passed else 'NO '} {check.subject}: {check.finding}")
    if failed:
        raise CircleError("Something that a session needs is missing.")
