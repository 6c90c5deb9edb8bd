"""Reads what sessions left: `circle list`, `show`, `diff`, `log`, `replay`, `export`, `import` and `ideas`."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.commands.following import display
from agents.errors import CircleError, UsageError
from agents.options import (
    ID,
    JsonOption,
    TargetOption,
    home,
)

if TYPE_CHECKING:
    from agents.replay import Walked
    from agents.session import Opened


def list_sessions(target: TargetOption = None, json_: JsonOption = False) -> None:
    """List the sessions of the target, newest first."""
    from agents.plain_text import plain

    rows = [_row(opened) for opened in home(target).sessions()]
    if json_:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(f"{row['id']}  {row['status']:<17}  {row['started_at']}  {plain(row['idea'])}")


def show(id_: ID, target: TargetOption = None, json_: JsonOption = False) -> None:
    """Show one session, whole: how it stands, and what it measured in pictures."""
    from agents.printing import print_pictures, print_session
    from agents.show import document

    shown = document(home(target).find(id_))
    if json_:
        print(json.dumps(shown, indent=1))
    else:
        print_session(shown)
        print_pictures(shown)


def diff(
    id_: ID,
    raw: Annotated[bool, typer.Option("--raw", help="Every byte, as it is.")] = False,
    target: TargetOption = None,
) -> None:
    """Print the session's newest diff and its SHA-256; on a terminal with the plan and the review, in colours."""
    from rich.console import Console

    from agents.diff_view import view_of
    from agents.waiting import remember_seen

    opened = home(target).find(id_)
    view = view_of(opened)
    if raw:
        sys.stdout.buffer.write(view.diff)
        sys.stdout.buffer.flush()
        remember_seen(opened, view.sha256)
        if view.left_out:
            print(f"SHA-256 {view.sha256}", file=sys.stderr)
    elif sys.stdout.isatty():
        view.show(Console())
    else:
        print(view.plain())


def log(id_: ID, target: TargetOption = None, json_: JsonOption = False) -> None:
    """List the steps of a session, numbered, its family of forks, and what came of each version."""
    from agents.family import family, steps
    from agents.printing import print_effects, print_log
    from agents.show import document

    opened = home(target).find(id_)
    found, relatives = steps(opened), family(home(target), opened)
    if json_:
        print(json.dumps({"id": id_, "steps": [step.model_dump() for step in found], "family": relatives}, indent=1))
    else:
        print_log(found, relatives, id_)
        with contextlib.suppress(CircleError, sqlite3.Error):  # the steps of a damaged session are told all the same
            print_effects(document(opened))


def replay(
    id_: ID,
    target: TargetOption = None,
    again: Annotated[bool, typer.Option("--rerun", help="Train every run once more, and compare.")] = False,
    step: Annotated[bool, typer.Option("--step", help="Show each step, and wait for a key on a terminal.")] = False,
    json_: JsonOption = False,
) -> None:
    """Walk through a session again from its journal: nothing is asked, trained or committed. 1 if it diverged."""
    from agents.printing import print_replay, print_step
    from agents.replay import replay as replay_session
    from agents.rerun import rerun
    from agents.show import has_ended

    if step and json_:
        raise UsageError("--step is for a person, and --json for a program: leave one of them out.")

    opened = home(target).find(id_)
    ended = has_ended(opened.summary().status)

    def look(walked: Walked) -> None:
        if step:
            print_step(walked, ended=ended)
            if sys.stdin.isatty() and input("Enter goes on, q ends: ").strip() == "q":
                raise typer.Exit(0)

    with display() as report:
        trained = partial(rerun, report=report) if again else None
        shown = replay_session(opened, look, trained)
    if json_:
        print(json.dumps(shown, indent=1))
    else:
        print_replay(shown)
    same = shown["identical"] and shown.get("rerun_equivalent", True)
    raise typer.Exit(0 if same else CircleError.exit_code)


def export(id_: ID, file: Annotated[Path, typer.Argument(help="A new file.")], target: TargetOption = None) -> None:
    """Write a session to a file, to carry it elsewhere: no key and no path of this machine is in it."""
    from agents.carry import export as export_session

    export_session(home(target).find(id_), file)
    print(f"Wrote {file}, {file.stat().st_size / 1e6:.2f} MB; circle import {file} puts it among other sessions.")


def import_session(
    file: Annotated[Path, typer.Argument(help="What circle export wrote.")], target: TargetOption = None
) -> None:
    """Put an exported session among those of this folder; it is replayed without its target."""
    from agents.carry import bring

    name = bring(home(target), file).session.id
    print(f"Session {name} is here: circle replay {name}.")


def list_ideas(
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
        print(
            f"warning: what these sessions tried cannot be read: {', '.join(damaged)}; "
            "circle resume ID may make it known again.",
            file=sys.stderr,
        )
    if json_:
        print(json.dumps(found, indent=1))
    else:
        print_ideas(found, sought=bool(words))


def _row(opened: Opened) -> dict[str, str]:
    session = opened.session
    try:
        status: str = opened.status()
    except (CircleError, sqlite3.Error):
        status = "unreadable"
    return {"id": session.id, "status": status, "idea": session.idea.text, "started_at": session.started_at}
