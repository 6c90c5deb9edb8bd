"""The loop that drives a session's graph: one process at a time, stopped by signals, resumable anywhere."""

from __future__ import annotations

import fcntl
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from agents.errors import CircleError, Interrupted, JournalDamaged, Paused, SessionError
from agents.journal import Journal
from agents.ledger import used
from agents.measuring import open_laboratory
from agents.ports import Context, Desk, Laboratory, Order, Reporter, silent
from agents.recording import (
    RecordedClock,
    RecordedLaboratory,
    RecordedResearcher,
    RecordedWorkspace,
    recorded_inspection,
    recorded_usage,
)
from agents.records import Approval, Issue, Plan
from agents.recovery import check
from agents.replay import note
from agents.session import Opened, Status, load_committed_target, now, portable
from agents.settings import Target
from agents.state import State

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.types import Interrupt

    from agents.researchers.claude import World


_PATIENCE = (0.02, 0.05, 0.1, 0.2)
"""Seconds to wait for the lock: whoever only looks whether a session is run holds it for a moment."""


class WallClock:
    """The machine's clock; `elapsed` goes on from what earlier processes of the session have used."""

    def __init__(self, before: float) -> None:
        self._before, self._started = before, time.monotonic()

    def now(self, moment: str) -> str:
        """Return the time in UTC, ISO 8601 to the second."""
        return now()

    def elapsed(self, moment: str) -> float:
        """Return the seconds that the session has been worked on."""
        return round(self._before + time.monotonic() - self._started, 3)


def drive(opened: Opened, report: Reporter = silent, answer: Approval | str | None = None) -> State:
    """Run the graph to its end, to the next approval, or until it is asked to stop; return the state.

    What waits is driven on by an answer alone: a person's decision, or a campaign's word to a session that it holds.

    Raises:
        Interrupted: a person or a signal asked to stop; the session resumes where it was.
        CircleError: what went wrong, in a sentence; the session is resumable.
    """
    name = opened.session.id
    from agents.tracking import tracked

    with _locked(opened), _stopped_by_signals(opened), tracked(opened, report) as hears:
        opened.stop_file.unlink(missing_ok=True)
        try:
            _run(opened, hears, answer)
            opened.summarise(opened.standing(), None)
        except Paused as paused:
            _summarise(opened, "stopped", None)
            raise Paused(f"{paused} Session {name} has stopped; circle resume {name} goes on.") from None
        except (Interrupted, KeyboardInterrupt):
            _summarise(opened, "stopped", None)
            raise Interrupted(f"Session {name} has stopped; circle resume {name} goes on.") from None
        except JournalDamaged:
            raise
        except CircleError as error:
            _summarise(opened, "failed", str(error))
            raise
        except (OSError, sqlite3.Error) as error:
            raise SessionError(
                f"Session {name} could not read or write its files: {error}. What it has done is kept; "
                f"circle resume {name} goes on once that is mended."
            ) from error
    return opened.state()


def decide(opened: Opened, answer: Approval) -> None:
    """Put a person's decision on record without driving the session on; its next process does.

    Raises:
        SessionError: another process runs it, other bytes wait, or another decision is on record.
    """
    with _locked(opened), opened.journal() as journal, opened.graph() as (graph, config):
        waiting = opened.snapshot(graph, config)
        body = _body(answer, waiting.interrupts)
        found = journal.once("answer", f"step {waiting.values['step']}", lambda: body)
    if found != body:
        raise SessionError(f"That diff was {found['decision']} by {found['by']} at {found['at']} already.")


def _summarise(opened: Opened, status: Status, error: str | None) -> None:
    """Leave word of how the session stands; where the disk takes none, the error that led here is what is told."""
    with suppress(OSError, sqlite3.Error, CircleError):
        opened.summarise(status, error)


def _run(opened: Opened, report: Reporter, answer: Approval | str | None) -> None:
    with opened.journal() as journal:
        check(opened, journal)
        with opened.graph() as (graph, config):
            before = opened.snapshot(graph, config)
            note(journal, before)
            step = _first_step(opened, journal, graph, config, answer)
            if step is None and before.values and (before.interrupts or not before.next):
                return
            context = _context(opened, journal, report, before.values.get("wall_seconds", 0.0))
            try:
                after = before
                while after is before or (after.next and not after.interrupts):
                    if after is not before and opened.stop_file.exists():
                        raise Interrupted
                    values = after.values
                    graph.invoke(step, config, context=context, durability="sync", interrupt_after="*")
                    step, after = None, opened.snapshot(graph, config)
                    note(journal, after, values)
            finally:
                context.laboratory.close()


def _first_step(
    opened: Opened,
    journal: Journal,
    graph: CompiledStateGraph[Any, Any, Any, Any],
    config: Any,
    answer: Approval | str | None,
) -> Any:
    """What the graph goes on with: its first state, an answer to what waits, or nothing but what it has."""
    from langgraph.types import Command

    before = opened.snapshot(graph, config)
    if not before.values:
        return opened.begin(graph, config)
    key = f"step {before.values.get('step', 0)}"
    if answer is not None:
        body = _body(answer, before.interrupts)
        return Command(resume=journal.once("answer", key, lambda: body))
    given = journal.find("answer", key) if before.interrupts else None
    return None if given is None else Command(resume=given)


def _body(answer: Approval | str, waiting: Sequence[Interrupt]) -> Any:
    """The answer as it is put on record; a decision on other bytes than those that wait never is."""
    if isinstance(answer, str):
        return answer
    sha256 = next((interrupt.value.get("sha256") for interrupt in waiting), None)
    if answer.sha256 != sha256:
        raise SessionError(f"No diff with the SHA-256 {answer.sha256} waits for a decision: look at it again.")
    return answer.model_dump(mode="json")


def _context(opened: Opened, journal: Journal, report: Reporter, seconds: float) -> Context:
    from agents.researchers import open_researcher

    session, home = opened.session, opened.home
    origin = session.origin or session.base
    target = load_committed_target(home.workspace, origin)
    journal.once("target", "", lambda: target.model_dump(mode="json"))
    laboratory = open_laboratory(
        home,
        target,
        origin,
        session.preset,
        opened.folder,
        journal,
        session.sandbox == "none",
        session.workers,
        report,
        session.lab,
        home.folder / "campaigns" / session.campaign / "turn" if session.campaign else None,
    )
    world = _world(opened, target, journal, report)
    researcher = open_researcher(session.researcher, target, journal.count("reply"), world)
    return Context(
        session=portable(session),
        target=target,
        researcher=RecordedResearcher(researcher, journal.once),
        workspace=RecordedWorkspace(home.workspace, journal.once),
        laboratory=RecordedLaboratory(laboratory, journal.once),
        clock=RecordedClock(WallClock(seconds), journal.once),
        record=lambda kind, key, body: journal.once(kind, key, lambda: body),
        report=report,
        inspect=recorded_inspection(partial(_inspect, opened, target), journal.once),
        desk=partial(_desk, opened, target, laboratory),
        usage=recorded_usage(lambda: used(journal), journal.once),
    )


def _inspect(opened: Opened, target: Target, commit: str, plan: Plan) -> tuple[Issue, ...]:
    from agents.review import mechanical_issues

    workspace, base = opened.home.workspace, opened.session.base
    return mechanical_issues(
        base=workspace.export(base),
        version=workspace.export(commit),
        diff=workspace.diff(base, commit),
        plan=plan,
        target=target,
    )


def _world(opened: Opened, target: Target, journal: Journal, report: Reporter) -> World | None:
    """What a model is told and may spend; None for a researcher that asks none."""
    from agents.memory import remembered
    from agents.researchers.claude import World, remembering

    session, home = opened.session, opened.home
    if not session.model:
        return None
    return World(
        model=target.model.model_copy(update={"name": session.model}),
        secret=session.secret,
        journal=journal,
        budget=session.budget,
        target=target,
        base_tree=home.workspace.export(session.base),
        remember=remembering(partial(remembered, home)),
        report=report,
        stopped=opened.stop_file.exists,
    )


def _desk(
    opened: Opened, target: Target, laboratory: Laboratory, plan: Plan | None, start: str, short: Order | None
) -> Desk:
    from agents.desk import FolderDesk

    folder, base = opened.folder / "desk", opened.session.base
    return FolderDesk.laid(folder, base, start, target, opened.home.workspace, laboratory, plan, short)


@contextmanager
def _locked(opened: Opened) -> Iterator[None]:
    with opened.lock_file.open("w") as lock:
        for wait in (*_PATIENCE, None):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if wait is None:
                    raise SessionError(f"Session {opened.session.id} is being run by another process.") from None
                time.sleep(wait)
        yield


@contextmanager
def _stopped_by_signals(opened: Opened) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM interrupt at once, and leave word in case a library swallows the interruption."""

    def handle(number: int, frame: object) -> None:
        opened.ask_to_stop()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
