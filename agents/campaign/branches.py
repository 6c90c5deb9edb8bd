"""Several ideas at once, as branches of a campaign: each is a process that drives its session to where it is held.

LangGraph's Send fans out, one branch a session. A branch measures and writes on its own session's record alone; the
campaign looks at all of them, and decides, when they have come to a stand.
"""

from __future__ import annotations

import operator
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from agents.errors import CircleError, Interrupted, UsageError
from agents.ports import Reporter
from agents.session import Opened

_WRONG = (CircleError.exit_code, UsageError.exit_code)


class _Branches(TypedDict):
    """The sessions that are driven, and the errors of those that failed, by their ids."""

    sessions: list[str]
    errors: Annotated[dict[str, str], operator.or_]


class _Branch(TypedDict):
    session: str


def drive_together(sessions: Sequence[Opened], report: Reporter) -> dict[str, str]:
    """Drive sessions side by side to where each is held, waits or ends; return the errors of those that failed.

    Raises:
        Interrupted: a person or a signal asked to stop; every session resumes where it was.
    """
    drivers = _Drivers({opened.session.id: opened for opened in sessions}, report)
    graph = StateGraph(_Branches)
    graph.add_node("branch", drivers.branch, input_schema=_Branch)
    graph.add_conditional_edges(START, _fan_out, ["branch"])
    graph.add_edge("branch", END)
    with drivers.stopped_by_signals():
        ended = graph.compile().invoke({"sessions": list(drivers.sessions), "errors": {}})
    if drivers.stopped:
        raise Interrupted
    errors: dict[str, str] = ended["errors"]
    return errors


def _fan_out(state: _Branches) -> list[Send]:
    return [Send("branch", {"session": name}) for name in state["sessions"]]


class _Drivers:
    """The processes of the branches, so that all of them can be stopped at once."""

    def __init__(self, sessions: dict[str, Opened], report: Reporter) -> None:
        self.sessions, self._report = sessions, report
        self._lock, self._running, self.stopped = threading.Lock(), set[subprocess.Popen[str]](), False

    def branch(self, state: _Branch) -> dict[str, Any]:
        """Drive one session in a process of its own, and pass on what it says."""
        name = state["session"]
        opened, said = self.sessions[name], ""
        command = [sys.executable, "-m", "agents.cli", "resume", name, "--target", str(opened.home.target)]
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as driver:
            self._note(driver)
            assert driver.stderr is not None
            for line in driver.stderr:
                said = line.strip() or said
                self._report("branch", session=name, text=line.rstrip())
        with self._lock:
            self._running.discard(driver)
        return {"errors": {name: said} if driver.returncode in _WRONG else {}}  # one that was killed can go on

    def _note(self, driver: subprocess.Popen[str]) -> None:
        with self._lock:
            self._running.add(driver)
            if self.stopped:
                driver.terminate()

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM stop every branch; each then comes to a stand by itself."""

        def stop(number: int, frame: object) -> None:
            self.stopped = True
            for driver in list(self._running):
                driver.terminate()

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
