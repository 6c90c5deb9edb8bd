"""One step of a session from its journal alone: what was asked, answered, run and committed, and the state after it.

The entries between two steps' own are what the later one was given. Nothing is asked, trained or committed, and
today's graph is not run: that is `circle replay`, which the page starts where a person wants the comparison.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import reduce
from typing import Any

from agents.errors import SessionError
from agents.leaves import Leaves, changed, changes, leaves
from agents.records import Run
from agents.sealed import read_sealed
from agents.session import FORK, Opened
from agents.show import open_leaves
from agents.web.sides import Line, side_by_side

_WORDLESS: tuple[Any, ...] = (None, "", [], {})
_UNTOLD = ("usage", "elapsed", "target", "key", "file", "diff", "inspection", "floor kept", "excerpt", "checkpoint")


@dataclass(frozen=True)
class Exchange:
    """A question to a skill, and what it said; a diff in the reply stands beside it."""

    skill: str
    question: str
    reply: str
    diff: tuple[Line, ...]


@dataclass(frozen=True)
class Told:
    """A step: its place, what it was given, what it changed, and the state that it left."""

    number: int
    node: str
    version: int
    following: str
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
        """The state after a step."""
        return reduce(changed, (by for step, by in self._changes.items() if step <= number), self._begun)

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
