"""One step of a session from its journal alone: what was asked, answered, run and committed, and the state after it.

The entries between two steps' own are what the later one was given. Nothing is asked, trained or committed, and
today's graph is not run: that is `circle replay`, which the page starts where a person wants the comparison.
Git gives what the journal need not hold, a diff that no model was shown, and the files that a diff lies in.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agents.errors import SessionError, TargetError
from agents.leaves import Leaves, changed, changes, leaves
from agents.records import Commit, Run
from agents.sealed import read_sealed
from agents.session import FORK, Opened
from agents.show import open_leaves
from agents.unseen import left_out
from agents.web.sides import Line, side_by_side, whole_files

_WORDLESS: tuple[Any, ...] = (None, "", [], {})
_UNTOLD = ("usage", "elapsed", "target", "key", "file", "diff", "inspection", "floor kept", "excerpt", "checkpoint")
_OF_A_DIFF = ("reviewer", "approval", "regression")
_COMMITS: TypeAdapter[str] = TypeAdapter(Commit)


@dataclass(frozen=True)
class Exchange:
    """A question to a skill, and what it said; a diff in the reply stands beside it."""

    skill: str
    question: str
    reply: str
    diff: tuple[Line, ...]


@dataclass(frozen=True)
class Diff:
    """The diff that a step was about, and what of it is not in the view."""

    lines: tuple[Line, ...]
    left_out: str


@dataclass(frozen=True)
class Told:
    """A step: its place, what it was about and was given, what it changed, and the state that it left."""

    number: int
    node: str
    version: int
    following: str
    diff: Diff | None
    exchanges: tuple[Exchange, ...]
    runs: tuple[Run, ...]
    others: tuple[tuple[str, str], ...]
    new: Leaves
    state: Leaves
    failure: str


@dataclass(frozen=True)
class Mark:
    """A step on the scrubber."""

    number: int
    node: str
    version: int
    failure: str


class Steps:
    """The steps of a session that are on record."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        with opened.journal() as journal:
            self._entries = list(journal.entries())
            self._noted = journal.bodies("step")
        self._own = {key: body for key, body in self._noted.items() if int(key) > opened.session.step}
        self._begun = leaves(read_sealed(opened.folder / FORK)["values"]) if opened.session.parent else {}
        self._changes = self._changed()

    @property
    def marks(self) -> tuple[Mark, ...]:
        """All steps, oldest first."""
        return tuple(
            Mark(int(key), body["node"], body["version"], _failure(self._changes[int(key)]["new"]))
            for key, body in self._own.items()
        )

    def step(self, number: int, ended: bool) -> Told:
        """Return a step by its number; `ended` says whether the hidden split may be shown.

        Raises:
            SessionError: the session has no such step.
        """
        body = self._own.get(str(number))
        if body is None:
            raise SessionError(f"Session {self._opened.session.id} has no step {number} on record.")
        state, new = self._state(number), self._changes[number]["new"]
        failure = _failure(new)
        if not ended:
            state, new = open_leaves(state), open_leaves(new)
        given = self._given(number)
        runs = [Run.model_validate(run) for kind, run in given if kind == "run"]
        return Told(
            number=number,
            node=body["node"],
            version=body["version"],
            following=", ".join(body["next"]) or "the end",
            diff=self._diff(number) if body["node"] in _OF_A_DIFF else None,
            exchanges=tuple(_exchange(reply) for kind, reply in given if kind == "reply"),
            runs=tuple(run if ended else run.model_copy(update={"hidden": None}) for run in runs),
            others=tuple((kind, _words(other)) for kind, other in given if kind not in ("run", "reply", *_UNTOLD)),
            new={path: leaf for path, leaf in new.items() if leaf not in _WORDLESS},
            state=state,
            failure=failure,
        )

    def _changed(self) -> dict[int, dict[str, Any]]:
        """What each step changed; the first that a fork has on record is there with all that was before the fork."""
        found = {int(key): body["changes"] for key, body in self._noted.items()}
        if self._begun and found:
            first = next(iter(found))
            found[first] = changes(self._begun, found[first]["new"])
        return found

    def _state(self, number: int) -> Leaves:
        """The state after a step; after the one before the first, what the session began with."""
        return reduce(changed, (by for step, by in self._changes.items() if step <= number), self._begun)

    def _diff(self, number: int) -> Diff | None:
        """The diff of the version that a step was about, as it stood when the step began."""
        version = self._own[str(number)]["version"]
        commit = _commit(self._state(number - 1).get(f"versions.{version - 1}.patch.commit"))
        text = self._text(commit) if commit else None
        if text is None:
            return None
        files = whole_files(text, self._opened.home.workspace, self._opened.session.base, commit)
        return Diff(side_by_side(text, files), left_out(text))

    def _text(self, commit: str) -> bytes | None:
        """The bytes of a diff, by its commit; None where neither the journal nor git has them."""
        base = self._opened.session.base
        with self._opened.journal() as journal:
            recorded = journal.find("diff", f"{base} {commit}")
        if recorded is not None:
            return str(recorded).encode("latin-1")
        with suppress(TargetError):
            return self._opened.home.workspace.diff(base, commit)
        return None

    def _given(self, number: int) -> list[tuple[str, Any]]:
        """The entries that were written between the step before and this one."""
        found: list[tuple[str, Any]] = []
        steps = iter(self._noted)
        for _, kind, body in self._entries:
            if kind != "step":
                found.append((kind, body))
            elif next(steps) == str(number):
                return found
            else:
                found.clear()
        return found


def _commit(leaf: Any) -> str:
    """The commit in a leaf; "" where it has none, as a journal of elsewhere may: git takes a dash for an option."""
    try:
        return _COMMITS.validate_python(leaf)
    except ValidationError:
        return ""


def _exchange(body: dict[str, Any]) -> Exchange:
    reply = body.get("reply", body.get("halted"))
    diff = reply.get("diff", "") if isinstance(reply, dict) else ""
    rest = {name: part for name, part in reply.items() if name != "diff"} if isinstance(reply, dict) else reply
    return Exchange(body["skill"], body["question"], _words(rest), side_by_side(diff.encode()) if diff else ())


def _words(body: Any) -> str:
    return body if isinstance(body, str) else json.dumps(body, indent=1, ensure_ascii=False)


def _failure(new: Leaves) -> str:
    """Say what failed in a step, by what it changed in the state; nothing where nothing did."""
    for path, leaf in new.items():
        _, _, end = path.partition(".")
        name = end.partition(".")[2]
        if name == "verdict.outcome" and leaf != "win":
            return f"verdict: {leaf}"
        if name in ("regression.passed", "review.passed") and leaf is False:
            return f"{name.split('.')[0]} failed"
        if name == "approval.decision" and leaf == "rejected":
            return "rejected by a person"
        if name == "refused" and leaf:
            return "the diff did not apply"
    return "halted" if new.get("halted") else ""
