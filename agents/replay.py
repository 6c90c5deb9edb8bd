"""A session again, from its journal: today's graph over the recorded answers of the world, compared step by step.

Nothing is asked, trained or committed. The first difference is told with both sides: a question or an order that is
not on record, another next node, or another state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NoReturn, cast

from pydantic import ValidationError

from agents.errors import CircleError, JournalDamaged, SessionError
from agents.journal import Journal
from agents.leaves import Leaves, changed, changes, leaves
from agents.ports import Context, Laboratory, Order, Question, Reply, Researcher, Text, Workspace
from agents.recording import (
    RecordedClock,
    RecordedLaboratory,
    RecordedResearcher,
    RecordedWorkspace,
    documents_of,
    recorded_inspection,
    recorded_usage,
)
from agents.records import Record, Run, Usage, canonical, digest
from agents.session import Opened, portable
from agents.settings import Target

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from agents.state import State

_STEP_LIMIT = 10_000
_SHOWN, _SIDES, _FIRST = 400, 3, "baseline"


_ASKED_FOR = ("reply", "commit", "documents", "answer")
_UNREADABLE = (CircleError, ValidationError, LookupError, TypeError, ValueError, AssertionError)
"""What a node raises that is given what no node of today would have had put on record."""


class Divergence(Record):
    """Where a replay left the record, and both sides of it in a sentence."""

    step: int
    node: str
    what: str


class Diverged(CircleError):
    """Today's graph asks the world for something that is not on record."""


def note(journal: Journal, found: Any, before: Mapping[str, Any] | None = None) -> None:
    """Put on record how the state stands after a step, from a graph's snapshot: what a replay is compared with.

    `before` is the state after the step before it; without it, what the journal has of it is taken.
    """
    values = found.values
    if number := values.get("step"):
        old = recorded_leaves(journal) if before is None else leaves(before)
        body = {
            "node": values["node"],
            "next": list(found.next),
            "version": len(values.get("versions", [])),
            "sha256": digest(values),
            "changes": changes(old, leaves(values)),
        }
        journal.once("step", str(number), lambda: body)


def recorded_leaves(journal: Journal) -> Leaves:
    """Return the leaves of the newest state on record."""
    return reduce(changed, (body["changes"] for body in journal.bodies("step").values()), {})


@dataclass
class Tape:
    """The record as `once` is asked for it: what is not there is a divergence, and nothing is done for it.

    `question` and `documents` are what is being asked and committed, `taken` what the present step has been given.
    """

    journal: Journal
    question: str = ""
    documents: dict[str, str] = field(default_factory=dict)
    used: set[tuple[str, str]] = field(default_factory=set)
    taken: list[tuple[str, Any]] = field(default_factory=list)

    def once(self, kind: str, key: str, effect: Callable[[], Any]) -> Any:
        """Return what is on record; raise Diverged with the next entry of its kind otherwise."""
        found = self.journal.find(kind, key)
        if kind == "reply" and (found is None or found["question"] != self.question):
            raise Diverged(self._another_question(found))
        if found is None:
            left = (body for name, body in self.journal.bodies(kind).items() if (kind, name) not in self.used)
            recorded = next(left, None)
            if kind == "documents" and recorded is not None and recorded["files"] != self.documents:
                raise Diverged(self._another_document(recorded["files"]))
            raise Diverged(f"today asks for the {kind} {key[:_SHOWN]!r}; recorded next: {_short(recorded or 'none')}")
        self.used.add((kind, key))
        self.taken.append((kind, found))
        return found

    def _another_question(self, found: Any) -> str:
        """Say where today's question parts from the one that was recorded next."""
        replies = self.journal.bodies("reply").items()
        recorded = found or next((body for key, body in replies if ("reply", key) not in self.used), None)
        if recorded is None:
            return f"today asks {_short(self.question)!r}; on record is no further question"
        return f"today's question to {recorded['skill']} differs {_parting(self.question, recorded['question'])}"

    def _another_document(self, recorded: dict[str, str]) -> str:
        """Say where today's documents part from those that were recorded next."""
        today = self.documents
        path = min(path for path in recorded.keys() | today.keys() if recorded.get(path) != today.get(path))
        return f"today's {path} differs {_parting(today.get(path, ''), recorded.get(path, ''))}"

    def left(self) -> str:
        """Say what is on record that was not asked for; nothing where all of it was."""
        for kind in _ASKED_FOR:
            for key, body in self.journal.bodies(kind).items():
                if (kind, key) not in self.used:
                    return f"today never comes to a {kind} that is on record: {_short(body)}"
        return ""

    def record(self, kind: str, key: str, body: Any) -> Any:
        """Return what is on record of what a node decided itself; raise Diverged where it decides otherwise."""
        found = self.once(kind, key, lambda: body)
        if canonical(found) != canonical(body):
            raise Diverged(f"today decides {_short(body)} as {kind}; recorded: {_short(found)}")
        return found


class _Nothing:
    """What stands behind a replay: no researcher, no laboratory, no workspace."""

    name = "a recording"

    def __getattr__(self, name: str) -> NoReturn:
        raise Diverged(f"today calls {name}, of which nothing is on record")


class TapedResearcher(RecordedResearcher):
    """A researcher that finds every reply on the tape, to the very same question."""

    def __init__(self, tape: Tape) -> None:
        super().__init__(cast("Researcher", _Nothing()), tape.once)
        self._tape = tape

    def ask(self, question: Question, reply: type[Reply]) -> Reply:
        """Return the reply on record."""
        self._tape.question = question.text
        return super().ask(question, reply)


class TapedWorkspace(RecordedWorkspace):
    """A workspace that finds every commit on the tape."""

    def __init__(self, tape: Tape) -> None:
        super().__init__(cast("Workspace", _Nothing()), tape.once)
        self._tape = tape

    def commit_documents(self, branch: str, after: str, files: Mapping[str, Text], message: str) -> str:
        """Return the commit on record."""
        self._tape.documents = documents_of(files)
        return super().commit_documents(branch, after, files, message)


class TapedLaboratory(RecordedLaboratory):
    """A laboratory that finds every run on the tape."""

    def __init__(self, tape: Tape) -> None:
        super().__init__(cast("Laboratory", _Nothing()), tape.once)
        self.tape = tape
        self.orders: dict[str, Order] = {}

    def run(self, orders: Sequence[Order]) -> list[Run]:
        """Return the runs on record of these orders."""
        self.orders |= {order.key: order for order in orders}
        return [Run.model_validate(self.tape.once("run", order.key, _told(order))) for order in orders]

    def close(self) -> None:
        """There is nothing to be closed."""


@dataclass(frozen=True)
class Walked:
    """A step that was walked through again: what it was given from the record, and the state that it left.

    `changes` are the leaves of the recorded state that were new after it.
    """

    number: int
    node: str
    taken: tuple[tuple[str, Any], ...]
    values: State
    following: tuple[str, ...]
    changes: Leaves
    divergence: Divergence | None


def replay(
    opened: Opened,
    look: Callable[[Walked], None] = lambda walked: None,
    again: Callable[[Opened, dict[str, Order]], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Walk through a session again; return the document that `circle replay --json` prints.

    Each step is shown to `look`; `again` trains all of its orders once more, and says what came of it.
    """
    started, steps, divergence = time.monotonic(), opened.session.step, None
    with opened.journal() as journal:
        laboratory = TapedLaboratory(Tape(journal))
        try:
            journal.check()
            for walked in walk(opened, laboratory):
                look(walked)
                steps, divergence = walked.number, walked.divergence
                if not walked.following and divergence is None and (left := laboratory.tape.left()):
                    divergence = Divergence(step=steps, node=walked.node, what=left)
        except (JournalDamaged, LookupError, TypeError, ValueError) as damaged:
            divergence = Divergence(step=steps, node="journal", what=_short(str(damaged)))
    trained = again(opened, laboratory.orders) if again and divergence is None else {"runs": 0}
    return {
        "id": opened.session.id,
        "steps": steps,
        "identical": divergence is None,
        "first_divergence": divergence.model_dump(mode="json") if divergence else None,
        "model_calls": 0,
        "commits": 0,
        **trained,
        "wall_seconds": round(time.monotonic() - started, 3),
    }


def walk(
    opened: Opened, laboratory: TapedLaboratory, saver: BaseCheckpointSaver[Any] | None = None
) -> Iterator[Walked]:
    """Give each step of the record, the last of them with the divergence that it ends in, if there is one.

    The states are kept by `saver`, or in memory alone.

    Raises:
        SessionError: the session has no steps on record.
    """
    tape = laboratory.tape
    noted = tape.journal.bodies("step")
    recorded = {key: body for key, body in noted.items() if int(key) > opened.session.step}
    first = next(iter(recorded.values()), None)
    if first is None or (first["node"] != _FIRST and not opened.session.parent):
        name = opened.session.id
        raise SessionError(f"Session {name} has no steps on record: it is older than replays, or not begun.")
    walked, values, following = _steps(opened, laboratory, saver), opened.first_state(), tuple[str, ...]()
    stood: Leaves = reduce(changed, (body["changes"] for key, body in noted.items() if key not in recorded), {})
    for key, then in recorded.items():
        tape.taken.clear()
        stood = changed(stood, then["changes"])
        try:
            values, following = next(walked)
            what = _difference(then, stood, values, following)
        except Diverged as diverged:
            what = str(diverged)
        except _UNREADABLE as error:
            what = f"today's graph cannot go on from the record: {_short(f'{type(error).__name__}: {error}')}"
        except StopIteration:
            what = "today the session has ended; on record it goes on"
        found = Divergence(step=int(key), node=then["node"], what=what) if what else None
        yield Walked(int(key), then["node"], tuple(tape.taken), values, following, then["changes"]["new"], found)
        if found:
            return


def _context(opened: Opened, laboratory: TapedLaboratory) -> Context:
    tape, nothing = laboratory.tape, cast("Any", _Nothing())
    return Context(
        session=portable(opened.session),
        target=Target.model_validate(tape.once("target", "", lambda: None)),
        researcher=TapedResearcher(tape),
        workspace=TapedWorkspace(tape),
        laboratory=laboratory,
        clock=RecordedClock(nothing, tape.once),
        record=tape.record,
        inspect=recorded_inspection(nothing, tape.once),
        usage=recorded_usage(Usage, tape.once),
    )


def _steps(
    opened: Opened, laboratory: TapedLaboratory, saver: BaseCheckpointSaver[Any] | None
) -> Iterator[tuple[State, tuple[str, ...]]]:
    """Run today's graph over the tape; give the state after each node, and what comes next."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import Command

    from agents.graph import build_graph

    graph, context, tape = build_graph(saver or InMemorySaver()), _context(opened, laboratory), laboratory.tape
    config: Any = {"configurable": {"thread_id": opened.session.id}, "recursion_limit": _STEP_LIMIT}
    step: Any = opened.begin(graph, config)
    seen = opened.session.step
    while True:
        graph.invoke(step, config, context=context, durability="sync", interrupt_after="*")
        step, found = None, graph.get_state(config)
        if found.values.get("step", 0) > seen:
            seen = found.values["step"]
            yield cast("State", found.values), found.next
        if found.interrupts and tape.journal.find("answer", f"step {seen}") is not None:
            step = Command(resume=tape.once("answer", f"step {seen}", lambda: None))
        elif found.interrupts or not found.next:
            return


def _difference(then: dict[str, Any], stood: Leaves, values: State, following: tuple[str, ...]) -> str:
    """Say how a step ends otherwise than on record, with both sides; nothing where it ends the same."""
    if list(following) != then["next"]:
        today, before = (", ".join(nodes) or "the end" for nodes in (following, then["next"]))
        return f"today goes on to {today}; on record to {before}"
    if digest(values) == then["sha256"]:
        return ""
    now = leaves(values)
    paths = sorted(path for path in now.keys() | stood.keys() if now.get(path) != stood.get(path))
    sides = (f"{path} is {_side(now, path)} today and {_side(stood, path)} on record" for path in paths[:_SIDES])
    more = f"; {len(paths) - _SIDES} more differ" if len(paths) > _SIDES else ""
    return f"the state differs: {'; '.join(sides)}{more}"


def _side(found: Leaves, path: str) -> str:
    return _short(canonical(found[path])) if path in found else "not there"


def _parting(today: str, then: str) -> str:
    """Say where two texts part, with both sides."""
    lines = zip_longest(today.splitlines(), then.splitlines(), fillvalue="(nothing)")
    number, sides = next((found for found in enumerate(lines, 1) if found[1][0] != found[1][1]), (0, ("", "")))
    return f"in line {number}: {_short(sides[0])!r}; on record: {_short(sides[1])!r}"


def _told(order: Order) -> Callable[[], Any]:
    return lambda: None


def _short(body: Any) -> str:
    text = body if isinstance(body, str) else canonical(body)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
