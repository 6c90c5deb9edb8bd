"""Follows a session on the terminal to its end or its next approval."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

import typer

from agents.commands.asking import ask
from agents.errors import CircleError, Interrupted
from agents.plain_text import plain

if TYPE_CHECKING:
    from agents.notify import Event, Notifier
    from agents.records import Approval
    from agents.session import Opened


def follow(
    opened: Opened,
    as_json: bool,
    answer: Approval | None = None,
    whole: bool = True,
    notify: Notifier | None = None,
) -> None:
    """Drive the session, ask a person where one can be asked, print how it stands, and exit with the code of that.

    As JSON nobody is asked, and it is shown `whole`, or as its first version alone.
    """
    from agents.drive import drive
    from agents.printing import print_session
    from agents.show import document

    while True:
        with display() as report:
            drive(opened, report, answer)
        shown = document(opened)
        if notify is not None:
            notify(*_news(shown))
        answer = ask(opened) if shown["status"] == "awaiting_approval" and not as_json else None
        if answer is None:
            break
    if as_json:
        print(json.dumps(shown if whole else {"session": opened.session.id, **shown["versions"][0]}, indent=1))
    else:
        print_session(shown)
    raise typer.Exit(exit_code(shown))


def announce(opened: Opened) -> None:
    """Say on standard error which session it is, and which diffs need no person."""
    session = opened.session
    print(f"session {session.id}", file=sys.stderr, flush=True)
    if session.approve_scope:
        paths = plain(", ".join(session.approve_scope))
        said = f"diffs that touch only {paths} are approved by themselves, as {plain(session.scope_by)} allowed"
        print(f"{'scope':<10} {said}", file=sys.stderr, flush=True)


def _news(shown: dict[str, Any]) -> tuple[Event, str, str]:
    """What a person who looks elsewhere is told of a session that has come to a stand."""
    events: dict[str, Event] = {"awaiting_approval": "approval", "victory": "victory"}
    return events.get(shown["status"], "end"), f"{shown['idea']}: {shown['status'].replace('_', ' ')}", shown["id"]


def exit_code(shown: dict[str, Any]) -> int:
    codes = {"victory": 0, "concluded": 3, "awaiting_approval": 4, "stopped": Interrupted.exit_code}
    return codes.get(shown["status"], CircleError.exit_code)


@contextlib.contextmanager
def display() -> Any:
    from rich.console import Console

    from agents.display import Display

    display = Display(Console(stderr=True))
    try:
        yield display
    finally:
        display.close()
