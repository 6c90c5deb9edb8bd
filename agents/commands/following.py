"""Follows a session on the terminal to its end or its next approval."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import typer

from agents.errors import CircleError, Interrupted

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
    """Drive the session, print how it stands, and exit with the code that says so.

    As JSON it is shown `whole`, or as its first version alone.
    """
    from agents.drive import drive
    from agents.printing import print_session
    from agents.show import document

    with display() as report:
        drive(opened, report, answer)
    shown = document(opened)
    if as_json:
        print(json.dumps(shown if whole else {"session": opened.session.id, **shown["versions"][0]}, indent=1))
    else:
        print_session(shown)
    if notify is not None:
        notify(*_news(shown))
    raise typer.Exit(exit_code(shown))


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
