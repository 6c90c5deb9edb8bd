"""A diff as a person is shown it: the plan, the review, each line, and what to type to decide on exactly these bytes.

What a model, a review, a line or a file's name says is text: no control, no markup and no unseen letter of it acts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agents.plain_text import excerpt, plain, plain_lines
from agents.records import Issue, Version, flag_words
from agents.session import Opened
from agents.unseen import MOST_LINES, left_out, lines_of
from agents.waiting import newest_diff, newest_patch

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_STYLES = {"+": "green", "-": "red", " ": "", "\\": "dim"}
_SEVERITIES = {"CRITICAL": "bold red", "WARNING": "yellow", "MINOR": "dim"}
_NO_CHANGE = "No change in any file: flags alone"


@dataclass(frozen=True)
class DiffView:
    """The newest diff of a session, and whether it waits for a decision."""

    session: str
    version: Version
    diff: bytes
    waits: bool

    @property
    def sha256(self) -> str:
        """The SHA-256 of the exact bytes."""
        return hashlib.sha256(self.diff).hexdigest()

    @property
    def left_out(self) -> str:
        """What of the diff is not in the view, in a sentence; nothing where all of it is."""
        missing = left_out(self.diff)
        raw = f"circle diff {self.session} --raw prints every byte, and before that it is not approved"
        return f"Left out here: {missing}; {raw}." if missing else ""

    @property
    def whole(self) -> str:
        """Every character of the diff, visible."""
        text = self.diff.decode(errors="backslashreplace")
        return plain_lines(text, len(text))

    def plain(self) -> str:
        """Return the diff for a file or a pipe, with its SHA-256 if all of it is there."""
        lines = lines_of(self.diff)
        text = (
            self.diff.decode(errors="backslashreplace") if len(lines) <= MOST_LINES else "\n".join(lines[:MOST_LINES])
        )
        flags = plain(" ".join(flag_words(self.version.plan.flags)))
        return f"{plain_lines(text) or f'{_NO_CHANGE}: {flags}'}\n{self.left_out or f'SHA-256 {self.sha256}'}"

    def show(self, console: Console) -> None:
        """Print everything that a decision rests on, in colours."""
        for text in (*self._plan(), *self._review(), *self._lines(), *self._end()):
            console.print(text, soft_wrap=True)

    def _plan(self) -> Iterator[Text]:
        plan = self.version.plan
        yield _field(f"V{self.version.n} plan", plan.title, "bold")
        for name in ("hypothesis", "method", "criteria", "risks", "source"):
            if words := getattr(plan, name):
                yield _field(name, words)
        yield _field("flags", " ".join(flag_words(plan.flags)) or "none")

    def _review(self) -> Iterator[Text]:
        for edit, _ in self.version.edits:
            yield _field("edited", f"by {edit.by} at {edit.at}{f': {edit.comment}' if edit.comment else ''}")
        issues = self.version.review.issues if self.version.review else ()
        yield _field("review", f"{len(issues)} remark{'' if len(issues) == 1 else 's'}")
        yield from map(_issue, issues)

    def _lines(self) -> Iterator[Text]:
        from rich.text import Text

        yield Text()
        lines = lines_of(self.diff)[:MOST_LINES]
        if not lines:
            yield Text(_NO_CHANGE)
        for line, style in _styled(lines):
            shown, *marks = plain_lines(line).split("\n")
            yield Text(shown, style)
            yield from (Text(mark, "bold yellow") for mark in marks)
        yield Text()

    def _end(self) -> Iterator[Text]:
        if self.left_out:
            yield _field("TOO LONG", self.left_out, "bold red")
            return
        yield _field("SHA-256", self.sha256, "bold")
        if self.waits:
            these = f"{self.session} --version {self.version.n} --sha {self.sha256}"
            yield _field("approve", f"circle approve {these}")
            yield _field("reject", f"circle reject {these} --comment WORDS")


def view_of(opened: Opened) -> DiffView:
    """Return the view of a session's newest diff, its bytes fresh from git."""
    version, waits = newest_patch(opened)[0], opened.status() == "awaiting_approval"
    return DiffView(opened.session.id, version, newest_diff(opened)[0], waits)


def _field(name: str, words: str, style: str = "") -> Text:
    from rich.text import Text

    return Text.assemble((f"{name:<11}", "bold cyan"), (excerpt(words), style))


def _issue(issue: Issue) -> Text:
    from rich.text import Text

    where = f"{issue.file}:{issue.line}" if issue.line is not None else issue.file
    said = excerpt(f"{where} {issue.issue} Fix: {issue.fix}".strip())
    return Text.assemble((f"{issue.severity:<11}", _SEVERITIES[issue.severity]), said)


def _styled(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Each line with its colour; a hunk's lines are counted, so that none of them passes for a header."""
    old = new = 0
    for line in lines:
        if old > 0 or new > 0:
            old -= not line.startswith(("+", "\\"))
            new -= not line.startswith(("-", "\\"))
            yield line, _STYLES.get(line[:1], "")
        elif hunk := _HUNK.match(line):
            old, new = int(hunk[1] or 1), int(hunk[2] or 1)
            yield line, "cyan"
        else:
            yield line, "bold"
