"""Asks a person at a terminal what becomes of the diff that waits: approved, rejected, edited, or left waiting."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agents.commands.programs import edited_text, paged
from agents.errors import CircleError, DiffRefused
from agents.plain_text import plain

if TYPE_CHECKING:
    from agents.diff_view import DiffView
    from agents.records import Approval, Decision
    from agents.session import Opened

_QUIT = "q"


def ask(opened: Opened) -> Approval | None:
    """Show what waits and return a person's decision on it; None leaves it waiting, as where nobody can be asked."""
    from rich.console import Console

    from agents.diff_view import view_of

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    view = view_of(opened)
    view.show(Console())
    try:
        return _Prompt(opened, view).decision()
    except EOFError:
        print()
        return None


def decided(opened: Opened, decision: Decision, sha256: str, comment: str, version: int | None = None) -> Approval:
    """Return a decision of whoever runs this; raise SessionError where it may not be made."""
    from agents.campaign.board import check_current
    from agents.records import Approval
    from agents.session import now
    from agents.waiting import check_waiting

    check_waiting(opened, sha256, decision, version)
    check_current(opened)
    return Approval(decision=decision, by=getpass.getuser(), at=now(), sha256=sha256.lower(), comment=comment)


@dataclass
class _Prompt:
    """A person in front of a diff, with the draft of their own that they may be at."""

    opened: Opened
    view: DiffView
    draft: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.draft = self._kept.read_bytes() if self._kept.exists() else self.view.diff

    @property
    def _kept(self) -> Path:
        """Where a text of theirs is kept until it is handed in."""
        return self.opened.folder / f"draft-v{self.view.version.n}.diff"

    def decision(self) -> Approval | None:
        """Ask until there is a decision, or the person leaves."""
        while True:
            letter = _line(f"{self._choices()}: ").lower()
            if letter == _QUIT:
                return None
            choice = self._actions().get(letter)
            made = choice() if choice else None
            if made is not None:
                return made

    def _actions(self) -> dict[str, Callable[[], Approval | None]]:
        actions = {"a": self._approve, "r": self._reject, "e": self._edit}
        return actions | {"v": self._page} if self.view.left_out else actions

    def _choices(self) -> str:
        whole = "v shows all of it, " if self.view.left_out else ""
        text = "the diff" if self.draft == self.view.diff else "your text again"
        return f"{whole}a approves, r rejects with words, e edits {text}, {_QUIT} leaves it waiting"

    def _approve(self) -> Approval | None:
        from agents.waiting import saw

        if self.view.left_out and not saw(self.opened, self.view.sha256):
            print("Not approved: it is too long to be shown here; v shows all of it.")
            return None
        return self._decided("approved", _line("Why (may be left empty): "))

    def _reject(self) -> Approval | None:
        words = _line("What should the next version do differently? ")
        if not words:
            print("Not rejected: the planner needs words to go by.")
            return None
        return self._decided("rejected", words)

    def _edit(self) -> Approval | None:
        from agents.records import Edited

        try:
            self.draft = edited_text(self.draft)
            self._kept.write_bytes(self.draft)
            diff = self._redrawn()
        except CircleError as error:
            print(plain(f"Not edited: {error}"))
            return None
        if diff is None:
            self._kept.unlink()
            print("Nothing is different: it is still the diff that was shown.")
            return None
        decision = self._decided("edited", _line("Why (may be left empty): "))
        self._kept.unlink()
        return Edited(**decision.model_dump(), diff=diff)

    def _decided(self, decision: Decision, comment: str) -> Approval:
        return decided(self.opened, decision, self.view.sha256, comment, self.view.version.n)

    def _redrawn(self) -> str | None:
        """The draft as git draws it on the base; None where that is the diff that was shown."""
        if not self.draft.strip() and self.view.diff:
            self.draft = self.view.diff
            raise DiffRefused("The text is empty. To have none of it, reject it with words.")
        if self.draft == self.view.diff:
            return None
        try:
            diff = self.opened.home.workspace.redrawn(self.opened.session.base, self.draft.decode())
            return None if diff == self.view.diff else diff.decode()
        except UnicodeDecodeError as error:
            raise DiffRefused("The diff has bytes that are no UTF-8, and cannot be edited here.") from error

    def _page(self) -> None:
        """Show all of it in the person's pager; what the pager did not take was not seen."""
        from agents.waiting import remember_seen

        try:
            paged(self.view.whole)
        except CircleError as error:
            print(plain(str(error)))
        else:
            remember_seen(self.opened, self.view.sha256)


def _line(question: str) -> str:
    """Return what a person types on one line; raise EOFError at the end of input."""
    while True:
        print(question, end="", flush=True)
        try:
            words = sys.stdin.readline()
        except UnicodeDecodeError:
            print("That was no text: type it again.")
            continue
        if not words:
            raise EOFError
        return words.strip()
