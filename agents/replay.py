"""A session again, from its journal: today's graph over the recorded answers of the world, compared step by step.

Nothing is asked, trained or committed. The first difference is told with both sides: a question or an order that is
not on record, another next node, or another state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, cast

from agents.errors import CircleError, SessionError
from agents.journal import Journal
from agents.ports import Context, Laboratory, Order, Reporter, Workspace, silent
from agents.recording import (
    RecordedClock,
    RecordedLaboratory,
    RecordedResearcher,
    RecordedWorkspace,
    recorded_inspection,
    recorded_usage,
)
from agents.records import Record, Run, Usage, canonical, digest
from agents.session import Opened, portable
from agents.settings import Target

if TYPE_CHECKING:
    from agents.state import State

_STEP_LIMIT = 10_000
_SHOWN, _FIRST = 400, "baseline"


class Divergence(Record):
    """Where a replay left the record, and both sides of it in a sentence."""

    step: int
    node: str
    what: str


class Diverged(CircleError):
    """Today's graph asks the world for something that is not on record."""


def note(journal: Journal, found: Any) -> None:
    """Put on record how the state stands after a step, from a graph's snapshot: what a replay is compared with."""
    values = found.values
    if number := values.get("step"):
        state = {name: digest(value) for name, value in values.items()}
        body = {
            "node": values["node"],
            "next": list(found.next),
            "version": len(values.get("versions", [])),
            "sha256": digest(values),
            "state": state,
        }
        journal.once("step", str(number), lambda: body)


@dataclass
class Tape:
    """The record as `once` is asked for it: what is not there is a divergence, and nothing is done for it."""

    journal: Journal
    used: set[tuple[str, str]] = field(default_factory=set)

    def once(self, kind: str, key: str, effect: Callable[[], Any]) -> Any:
        """Return what is on record; raise Diverged with the next entry of its kind otherwise."""
        found = self.journal.find(kind, key)
        if found is None:
            left = (body for name, body in self.journal.bodies(kind).items() if (kind, name) not in self.used)
            raise Diverged(f"today asks for the {kind} {key[:_SHOWN]!r}; recorded next: {_short(next(left, 'none'))}")
        self.used.add((kind, key))
        return found

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


class TapedLaboratory(RecordedLaboratory):
    """A laboratory that finds every run on the tape."""

    def __init__(self, tape: Tape) -> None:
        super().__init__(cast("Laboratory", _Nothing()), tape.once)
        self._tape = tape

    def run(self, orders: Any) -> list[Run]:
        """Return the runs on record of these orders."""
        return [Run.model_validate(self._tape.once("run", order.key, _told(order))) for order in orders]

    def close(self) -> None:
        """There is nothing to be closed."""


def replay(opened: Opened, report: Reporter = silent) -> dict[str, Any]:
    """Walk through a session again; return the document that `circle replay --json` prints."""
    started = time.monotonic()
    journal = Journal(opened.folder / "journal.sqlite")
    try:
        steps, divergence = list(walk(opened, journal, report))[-1]
    finally:
        journal.close()
    return {
        "id": opened.session.id,
        "steps": steps,
        "identical": divergence is None,
        "first_divergence": divergence.model_dump(mode="json") if divergence else None,
        "model_calls": 0,
        "runs": 0,
        "commits": 0,
        "wall_seconds": round(time.monotonic() - started, 3),
    }


def walk(opened: Opened, journal: Journal, report: Reporter = silent) -> Iterator[tuple[int, Divergence | None]]:
    """Give each step's number and the divergence that it ends in, if any; the last one is the record's last.

    Raises:
        SessionError: the session has no steps on record.
    """
    recorded = {key: body for key, body in journal.bodies("step").items() if int(key) > opened.session.step}
    first = next(iter(recorded.values()), None)
    if first is None or (first["node"] != _FIRST and not opened.session.parent):
        name = opened.session.id
        raise SessionError(f"Session {name} has no steps on record: it is older than replays, or not begun.")
    tape = Tape(journal)
    context = _context(opened, tape, report)
    walked = _steps(opened, tape, context)
    for key, then in recorded.items():
        number, node = int(key), then["node"]
        try:
            values, following = next(walked)
        except Diverged as diverged:
            yield number, Divergence(step=number, node=node, what=str(diverged))
            return
        except StopIteration:
            yield number, Divergence(step=number, node=node, what="today the session has ended; on record it goes on")
            return
        difference = _difference(then, values, following)
        yield number, Divergence(step=number, node=node, what=difference) if difference else None
        if difference:
            return


def _context(opened: Opened, tape: Tape, report: Reporter) -> Context:
    nothing: Any = _Nothing()
    return Context(
        session=portable(opened.session),
        target=Target.model_validate(tape.once("target", "", lambda: None)),
        researcher=RecordedResearcher(nothing, tape.once),
        workspace=RecordedWorkspace(cast("Workspace", nothing), tape.once),
        laboratory=TapedLaboratory(tape),
        clock=RecordedClock(nothing, tape.once),
        record=tape.record,
        report=report,
        inspect=recorded_inspection(nothing, tape.once),
        usage=recorded_usage(Usage, tape.once),
    )


def _steps(opened: Opened, tape: Tape, context: Context) -> Iterator[tuple[State, tuple[str, ...]]]:
    """Run today's graph over the tape; give the state after each node, and what comes next."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import Command

    from agents.graph import build_graph

    graph = build_graph(InMemorySaver())
    config: Any = {"configurable": {"thread_id": opened.session.id}, "recursion_limit": _STEP_LIMIT}
    step: Any = opened.begin(graph, config)
    seen = opened.session.step
    while True:
        for _ in graph.stream(step, config, context=context, durability="sync"):
            found = graph.get_state(config)
            if found.values.get("step", 0) > seen:
                seen = found.values["step"]
                yield cast("State", found.values), found.next
        if not graph.get_state(config).interrupts:
            return
        if tape.journal.find("answer", f"step {seen}") is None:
            return
        step = Command(resume=tape.once("answer", f"step {seen}", lambda: None))


def _difference(then: dict[str, Any], values: State, following: tuple[str, ...]) -> str:
    """Say how a step ends otherwise than on record; nothing where it ends the same."""
    if list(following) != then["next"]:
        return (
            f"today goes on to {', '.join(following) or 'the end'}; on record to {', '.join(then['next']) or 'the end'}"
        )
    if digest(values) == then["sha256"]:
        return ""
    now = {name: digest(value) for name, value in values.items()}
    names = sorted(name for name in now.keys() | then["state"].keys() if now.get(name) != then["state"].get(name))
    return f"today's state differs in {', '.join(names)}: {_short({name: values.get(name) for name in names})}"


def _told(order: Order) -> Callable[[], Any]:
    return lambda: None


def _short(body: Any) -> str:
    text = body if isinstance(body, str) else canonical(body)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
