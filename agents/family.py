"""The steps of a session, its forks, and a new session from one of its steps: what `circle log` and `fork` are."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agents.errors import CheckpointLost, CircleError, SessionError, UsageError
from agents.records import Budget, Idea, Record
from agents.replay import Tape, TapedLaboratory, walk
from agents.sealed import write_sealed
from agents.session import FORK, Home, Opened, now, plain_session, slug
from agents.state import spend_of

_OF_THE_OLD_SESSION = ("runs", "usage", "wall_seconds", "halted", "conclusion", "status", "victory")


class Step(Record):
    """A node that ended: its number, its name, the version that it was about, and what came next."""

    number: int
    node: str
    version: int
    next: str


@dataclass(frozen=True)
class Changes:
    """What a fork does differently; None keeps what the session had."""

    idea: str | None = None
    researcher: str | None = None
    model: str | None = None
    budget: Budget | None = None


def steps(opened: Opened) -> list[Step]:
    """Return the steps on record, oldest first."""
    with opened.journal() as journal:
        recorded = journal.bodies("step")
    return [
        Step(number=int(key), node=body["node"], version=body["version"], next=", ".join(body["next"]) or "the end")
        for key, body in recorded.items()
        if int(key) > opened.session.step
    ]


def family(home: Home, opened: Opened) -> list[dict[str, Any]]:
    """Return the session, its forks and what it was forked from, with their depths, the oldest ancestor first."""
    sessions = {other.session.id: other for other in reversed(home.sessions())}
    eldest = opened
    seen = {eldest.session.id}
    while eldest.session.parent in sessions and eldest.session.parent not in seen:
        eldest = sessions[eldest.session.parent]
        seen.add(eldest.session.id)

    def below(parent: Opened, depth: int) -> list[dict[str, Any]]:
        session = parent.session
        own = {"id": session.id, "parent": session.parent or None, "step": session.step, "status": _status(parent)}
        children = (other for other in sessions.values() if other.session.parent == session.id != other.session.id)
        return [own | {"depth": depth}, *(entry for child in children for entry in below(child, depth + 1))]

    return below(eldest, 0)


def _status(opened: Opened) -> str:
    try:
        return opened.status()
    except (CircleError, sqlite3.Error):
        return "unreadable"


def fork(opened: Opened, at: int, changes: Changes) -> Opened:
    """Make a new session that goes on from a step of this one, with a secret, branches and an account of its own.

    Raises:
        SessionError: the session has no such step, or it ended there, or its commits are on another machine.
    """
    node, following, values = _step(opened, at)
    if not following:
        raise SessionError(f"Nothing comes after step {at} of session {opened.session.id}: it ended there.")
    old = opened.session
    patches = [version["patch"] for version in values.get("versions", []) if version["patch"]]
    _check_commits(opened, [old.base, *(patch["commit"] for patch in patches)])
    idea = Idea(text=changes.idea, name=slug(changes.idea)) if changes.idea else old.idea
    session = old.model_copy(
        update={
            "id": f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
            "idea": idea,
            "researcher": changes.researcher or old.researcher,
            "model": old.model if changes.model is None else changes.model,
            "budget": changes.budget or old.budget,
            "secret": secrets.token_hex(16),
            "started_at": now(),
            "parent": old.id,
            "step": at,
        }
    )
    made = Opened(opened.home, session)
    made.folder.mkdir(parents=True)
    versions = [_rebranched(made, version) for version in values.get("versions", [])]
    kept = {name: value for name, value in values.items() if name not in _OF_THE_OLD_SESSION}
    begun = kept | {"session": plain_session(session), "versions": versions, "runs": {}}
    write_sealed(made.folder / FORK, {"node": node, "values": begun})
    write_sealed(made.folder / "versions.json", versions)
    write_sealed(made.folder / "session.json", session.model_dump(mode="json"))
    _train_alike(opened, made)
    return made


def _check_commits(opened: Opened, commits: Sequence[str]) -> None:
    if missing := next((commit for commit in commits if not opened.home.workspace.has(commit)), None):
        raise SessionError(
            f"Commit {missing[:12]} of session {opened.session.id} is not in {opened.home.target}: the session comes "
            "from elsewhere. Here it can be looked at and replayed; it is forked where its branches are."
        )


def _train_alike(opened: Opened, made: Opened) -> None:
    """Have a fork train on the kind of nodes that its baseline was trained on, where that was a cluster."""
    with opened.journal() as old:
        nodes = old.find("nodes", "")
    if nodes is not None:
        with made.journal() as new:
            new.once("nodes", "", lambda: nodes)


def where_it_stopped(opened: Opened) -> int:
    """Return the step from which a session goes on once its budget is raised: before what the budget ended.

    Raises:
        SessionError: nothing had been done yet, or it was not the budget that ended it.
    """
    name, state, found = opened.session.id, opened.state(), steps(opened)
    if opened.status() == "running":
        raise SessionError(f"Session {name} is running: circle stop {name} first.")
    reason = state.get("conclusion", "")
    if state.get("status") and not reason.startswith("The budget"):
        raise SessionError(f"It was not the budget that ended session {name}: {reason or 'it ended with a victory.'}")
    ended = bool(state.get("status"))
    done = len(found) - ended - (1 if state.get("halted") else 0)
    if done < 1 or state.get("baseline") is None:
        raise SessionError(f"Session {name} has spent nothing yet: circle start with a larger budget.")
    return found[done - 1].number


def left_of(opened: Opened, raised: Budget) -> Budget:
    """Return what a fork may use of a raised budget: the limits are of all that was and will be used."""
    spend = spend_of(opened.state())
    tokens = spend.input_tokens + spend.output_tokens
    used = {"max_runs": spend.runs, "max_hours": spend.wall_seconds / 3600, "max_usd": spend.usd, "max_tokens": tokens}
    for name, amount in used.items():
        if (limit := getattr(raised, name)) is not None and limit <= amount:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} {limit:g} is no more than was used, {amount:.3g}: it counts from the start.")
    left = {name: limit and limit - used[name] for name in used if (limit := getattr(raised, name)) is not None}
    return raised.model_copy(update=left)


def _step(opened: Opened, at: int) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    """The node of a step, what came next and the state between: from the checkpoint, or by walking to it.

    Raises:
        SessionError: there is no such step, or today's graph does not come to it.
    """
    name = opened.session.id
    with contextlib.suppress(CheckpointLost), opened.graph() as (graph, config):
        found = opened.newest(graph, config)
        if found.values.get("step") == at:
            return found.values["node"], found.next, dict(found.values)
    with opened.journal() as journal:
        if at <= opened.session.step or journal.find("step", str(at)) is None:
            raise SessionError(f"Session {name} has no step {at}: circle log {name} numbers them.")
        for walked in walk(opened, TapedLaboratory(Tape(journal))):
            if walked.divergence:
                raise SessionError(f"Today's graph comes only to step {walked.number - 1}: {walked.divergence.what}.")
            if walked.number == at:
                return walked.node, walked.following, dict(walked.values)
    raise SessionError(f"Session {name} has no step {at}: circle log {name} numbers them.")


def _rebranched(made: Opened, version: dict[str, Any]) -> dict[str, Any]:
    """The version on a branch of the new session: the old one's branches stay as they are."""
    patch = version["patch"]
    if not patch:
        return version
    branch = f"circle/{made.session.id}/v{version['n']}"
    made.home.workspace.keep(branch, version["tip"] or patch["commit"])
    return version | {"patch": patch | {"branch": branch}}
