"""The sessions of a target on disk: what each is about, how it stands, and its diff.

.circle/sessions/<id>/session.json       what the session is about; never changes
                      checkpoints.sqlite LangGraph's, one thread
                      journal.sqlite     every effect, once
                      runs/ checkpoint/  logs, reports, the winning weights
                      summary.json       how it stands: for lists and for later sessions' memory
                      seen               the SHA-256 of each diff that a person was given whole
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import ValidationError

from agents.errors import CheckpointLost, JournalDamaged, SessionError, UsageError
from agents.journal import Journal
from agents.ports import Researcher
from agents.records import (
    Approval,
    Budget,
    Confidence,
    Flag,
    Idea,
    Patch,
    Plan,
    Record,
    Session,
    Spend,
    Tried,
    Version,
    digest,
    flag_words,
)
from agents.sealed import SealBroken, read_sealed, write_sealed
from agents.settings import FILE, Target, load_target, parse_target
from agents.workspace import GitWorkspace

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.types import StateSnapshot

    from agents.checkpoints import NewestCheckpoint
    from agents.state import State

Status = Literal["running", "awaiting_approval", "victory", "concluded", "stopped", "failed"]
_STEP_LIMIT = 10_000
CHECKPOINTS, LOCK = "checkpoints.sqlite", "lock"
FORK = "fork.json"
"""Where a fork's folder keeps the state that it begins with, and the node that this state is after."""


class Summary(Record):
    """How a session stands, what it has used, and what it tried on the training code whose hash is `tree`.

    `versions` and `best` are for lists: how many it has, and the win or else the largest gain among what was `tried`.
    """

    status: Status
    error: str | None = None
    tree: str | None = None
    tried: tuple[Tried, ...] = ()
    spend: Spend | None = None
    versions: int = 0
    best: Tried | None = None


@dataclass(frozen=True)
class Held:
    """What a session of a campaign waits for; before a confirmation, its screen's mean gain and t."""

    held: Literal["confirmation", "revision"]
    version: int
    gain: float | None = None
    t: float | None = None


@dataclass(frozen=True)
class Options:
    """What a person may say at the start; None takes the target's or the machine's default."""

    preset: str | None = None
    train_tokens: int | None = None
    turbo: bool = False
    budget: Budget = field(default_factory=Budget)
    minimum_effect: float = 0.0
    confidence: Confidence = "standard"
    scales: tuple[int, ...] = ()
    workers: int | None = None
    no_sandbox: bool = False
    secret: str | None = None
    fresh_baseline: bool = False
    memory: bool = True
    model: str | None = None
    approve_scope: tuple[str, ...] = ()
    scope_by: str = ""
    track: str = ""
    lab: str = "local"


@dataclass(frozen=True)
class Place:
    """Where a session of a campaign stands: on the wins of the night, and behind better ideas.

    Its baseline is the commit `base` with the flags `standing`; data and evaluation are those of `origin`. `failed` is
    what the same night tried on earlier baselines, and is not to try again.
    """

    campaign: str
    origin: str
    base: str
    standing: tuple[Flag, ...] = ()
    failed: tuple[Tried, ...] = ()
    floor_checked: bool = False


def now() -> str:
    """Return the time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_held(lock_file: Path) -> bool:
    """Whether a process holds a lock."""
    with lock_file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def slug(text: str) -> str:
    """Return a name for files and branches from a person's words."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return "-".join(words)[:48].strip("-") or "idea"


@dataclass(frozen=True)
class Home:
    """The `.circle` folder of a target."""

    target: Path

    @property
    def folder(self) -> Path:
        """The folder itself."""
        return self.target / ".circle"

    @cached_property
    def workspace(self) -> GitWorkspace:
        """The target's git."""
        return GitWorkspace(self.target)

    def prepare(self) -> None:
        """Make the folder, readable for its owner alone, and keep it out of git's sight."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.workspace.exclude("/.circle/")

    def sessions(self) -> list[Opened]:
        """Return the sessions that this version of Circle can read, newest first."""
        names = sorted((file.parent.name for file in (self.folder / "sessions").glob("*/session.json")), reverse=True)
        found = []
        for name in names:
            with contextlib.suppress(SessionError):
                found.append(self.find(name))
        return found

    def find(self, name: str) -> Opened:
        """Return a session by its id; raise SessionError if there is none that can be read."""
        file = self.folder / "sessions" / name / "session.json"
        try:
            return Opened(self, Session.model_validate(read_sealed(file)))
        except (SealBroken, ValidationError):
            raise SessionError(f"Session {name!r} cannot be read: {file} is damaged, or of another version.") from None
        except (OSError, ValueError):  # a name with a NUL is a ValueError
            raise SessionError(
                f"There is no session {name!r} in {self.folder}: circle list shows what there is."
            ) from None

    def tried(self, tree: str, preset: str, train_tokens: int) -> tuple[Tried, ...]:
        """Return what earlier sessions tried on the same training code and at the same scale, oldest first."""
        found = (tried for summary in self._summaries() if summary.tree == tree for tried in summary.tried)
        return tuple(old for old in found if (old.preset, old.train_tokens) == (preset, train_tokens))

    def tried_elsewhere(self, tree: str, idea: str) -> tuple[Tried, ...]:
        """Return what earlier sessions tried of an idea on other training code, oldest first."""
        others = (tried for summary in self._summaries() if summary.tree != tree for tried in summary.tried)
        return tuple(tried for tried in others if tried.idea == idea)

    def _summaries(self) -> list[Summary]:
        return [opened.summary() for opened in reversed(self.sessions())]


def load_committed_target(workspace: GitWorkspace, base: str) -> Target:
    """Return the circle.toml of the base commit: what is measured does not depend on uncommitted words."""
    text = workspace.read(base, FILE)
    if text is None:
        load_target(workspace.root)
        raise SessionError(
            f"{workspace.root / FILE} is not committed: commit it first, so that every run has the same."
        )
    return parse_target(text, f"{FILE} of commit {base[:12]}")


def start(
    home: Home,
    text: str,
    researcher: Researcher,
    options: Options,
    brought: tuple[str, Plan] | None = None,
    author: str | None = None,
    place: Place | None = None,
) -> Opened:
    """Make a session's folder and record; with a diff that the person brought, its first version, too.

    An `author` has read that diff, and approves it by starting the session. A campaign gives it its `place`.
    """
    from agents.laboratory.choice import side_by_side
    from agents.laboratory.sandbox import choose

    workspace = home.workspace
    place = place or Place("", "", workspace.head())
    base = place.base
    target = load_committed_target(workspace, base)
    preset = options.preset or target.preset
    tokens = options.train_tokens or target.scale(preset).train_tokens
    if tokens in options.scales:
        raise UsageError(f"A win at {tokens:,} tokens is what the session is about; name other scales.")
    tree = tree_of(workspace, target, base, place.standing)
    tried = (home.tried(tree, preset, tokens) if options.memory else ()) + place.failed
    idea = researcher.idea(text, tried) if brought is None else Idea(text=brought[1].title, name=slug(brought[1].title))
    sandbox = choose(options.no_sandbox)
    home.prepare()
    session = Session(
        id=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        idea=idea,
        target=str(home.target),
        base=base,
        researcher=researcher.name,
        preset=preset,
        train_tokens=tokens,
        sandbox=sandbox.name,
        self_reported_metric=target.evaluation.self_reported,
        turbo=options.turbo,
        secret=options.secret or secrets.token_hex(16),
        fresh_baseline=options.fresh_baseline,
        minimum_effect=options.minimum_effect,
        confidence=options.confidence,
        workers=options.workers or side_by_side(options.lab, target, unprotected=options.no_sandbox),
        budget=options.budget,
        started_at=now(),
        scales=tuple(sorted(set(options.scales))),
        tried=tried,
        before=home.tried_elsewhere(tree, idea.name),
        campaign=place.campaign,
        origin=place.origin,
        standing=place.standing,
        floor_checked=place.floor_checked,
        model=(options.model or target.model.name) if researcher.name == "claude" else "",
        approve_scope=options.approve_scope,
        scope_by=options.scope_by,
        track=options.track,
        lab=options.lab,
    )
    opened = Opened(home, session)
    versions = [_brought(opened, *brought, author)] if brought else []
    opened.folder.mkdir(parents=True)
    write_sealed(opened.folder / "versions.json", versions)
    write_sealed(opened.folder / "session.json", session.model_dump(mode="json"))
    return opened


def tree_of(workspace: GitWorkspace, target: Target, base: str, standing: Sequence[Flag]) -> str:
    """Return a hash of the training code of a base commit, and of the flags that stand on it."""
    code = workspace.tree_sha256(base, target.paths.training)
    return digest([code, [[flag.name, flag.value] for flag in standing]]) if standing else code


def portable(session: Session) -> Session:
    """Return a session as any machine may know it: not where its target, or a file of its researcher's, or a lab is."""
    kind, _, place = session.researcher.partition(":")
    researcher = f"{kind}:{Path(place).name}" if place else kind
    return session.model_copy(update={"target": "", "researcher": researcher, "lab": "local", "track": ""})


def plain_session(session: Session) -> dict[str, Any]:
    """Return a session as its state holds it."""
    return portable(session).model_dump(mode="json", exclude={"lab", "track"})


def _brought(opened: Opened, diff: str, plan: Plan, author: str | None) -> dict[str, Any]:
    session = opened.session
    patch: Patch = opened.home.workspace.commit_version(
        f"circle/{session.id}/v1", session.base, diff, f"{plan.title}\n\nA person's own diff."
    )
    approval = author and Approval(
        decision="approved",
        by=author,
        at=session.started_at,
        sha256=patch.diff_sha256,
        comment="The author's own diff.",
    )
    version = Version(n=1, parent=None, plan=plan, brought=True, patch=patch, approval=approval or None)
    return version.model_dump(mode="json")


@dataclass(frozen=True)
class Opened:
    """A session that lies in a target's `.circle`."""

    home: Home
    session: Session

    @property
    def folder(self) -> Path:
        """The session's own folder."""
        return self.home.folder / "sessions" / self.session.id

    @property
    def stop_file(self) -> Path:
        """What asks the process that drives the session to stop, while it is there."""
        return self.folder / "stop"

    @property
    def lock_file(self) -> Path:
        """What the process that drives the session holds locked."""
        return self.folder / LOCK

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        """Give the session's record."""
        journal = Journal(self.folder / "journal.sqlite")
        try:
            yield journal
        finally:
            journal.close()

    def state(self) -> State:
        """Return the newest checkpoint's state; raise CheckpointLost if it cannot be trusted."""
        with self.graph() as (graph, config):
            values = self.snapshot(graph, config).values
        return cast("State", values) if values else self.first_state()

    def snapshot(self, graph: CompiledStateGraph[Any, Any, Any, Any], config: Any) -> StateSnapshot:
        """Return the newest checkpoint as it was saved; raise CheckpointLost if it is not what the journal has of it.

        Raises:
            JournalDamaged: the journal ends before it.
        """
        with self.journal() as journal:
            noted = self._noted(journal)  # before the checkpoint is read: who drives the session may go on meanwhile
            found = self.newest(graph, config)
            number = found.values.get("step", self.session.step)
            recorded = journal.find("step", str(number))
            if number < noted or (recorded and recorded["sha256"] != digest(found.values)):
                raise CheckpointLost(self._lost(f"is not the one of step {noted}, the last in its journal"))
            if number > self._noted(journal) + (journal.find("target", "") is not None):
                raise JournalDamaged(f"The journal ends with step {noted}, and the checkpoint is of step {number}.")
        return found

    def _noted(self, journal: Journal) -> int:
        return int(journal.newest("step") or self.session.step)

    def newest(self, graph: CompiledStateGraph[Any, Any, Any, Any], config: Any) -> StateSnapshot:
        """Return the newest checkpoint, without what an unfinished step has written; raise CheckpointLost."""
        try:
            saver = cast("NewestCheckpoint", graph.checkpointer)
            saver.check()
            saved = saver.get_tuple(config)
            return graph.get_state(saved.config if saved else config)
        except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
            raise CheckpointLost(self._lost(f"cannot be read ({error})")) from error

    def _lost(self, why: str) -> str:
        name = self.session.id
        return f"The checkpoint of session {name} {why}: circle resume {name} makes it again from the journal."

    def status(self) -> Status:
        """Return how the session stands."""
        if self.is_busy:
            return "running"
        standing = self.standing()
        failed = standing == "stopped" and self.summary().error
        return "failed" if failed else standing

    def summary(self) -> Summary:
        """Return the last summary; a damaged one is as good as none."""
        return self._summary() or Summary(status="stopped")

    @property
    def is_remembered(self) -> bool:
        """Whether what it tried can be known from its summary, or it is at work, or has not begun."""
        begun = (self.folder / CHECKPOINTS).exists()
        return not begun or self._summary() is not None or self.is_busy

    def _summary(self) -> Summary | None:
        try:
            return Summary.model_validate(read_sealed(self.folder / "summary.json"))
        except (OSError, ValueError):
            return None

    def forget(self) -> None:
        """Leave out of this folder's memory what the session tried: that was on another machine."""
        summary = self.summary().model_copy(update={"tried": ()})
        write_sealed(self.folder / "summary.json", summary.model_dump(mode="json"))

    def ask_to_stop(self) -> None:
        """Leave word for the process that drives the session to stop at its next boundary."""
        self.stop_file.touch()

    def standing(self) -> Status:
        """Return how the session stands by its newest checkpoint, whoever drives it."""
        return self._checkpoint()[0]

    def held(self) -> Held | None:
        """Return what the session waits for in its campaign, if it does."""
        return self._checkpoint()[1]

    def _checkpoint(self) -> tuple[Status, Held | None]:
        with self.graph() as (graph, config):
            found = self.snapshot(graph, config)
        ended = found.values.get("status")
        if ended in ("victory", "concluded"):
            return ("victory" if ended == "victory" else "concluded"), None
        waits = [interrupt.value for interrupt in found.interrupts]
        held = next((Held(**value) for value in waits if "held" in value), None)
        decided = waits and self._answered(found.values.get("step", 0))
        return ("awaiting_approval" if waits and held is None and not decided else "stopped"), held

    def _answered(self, step: int) -> bool:
        """Whether a decision is on record that a killed process did not come to act on."""
        with self.journal() as journal:
            return journal.find("answer", f"step {step}") is not None

    def first_state(self) -> State:
        """Return the state that the graph starts with."""
        versions = read_sealed(self.folder / "versions.json")
        return {"session": plain_session(self.session), "versions": versions, "runs": {}}

    def begin(self, graph: CompiledStateGraph[Any, Any, Any, Any], config: Any) -> State | None:
        """Return what the graph starts with; a fork's is put into its new thread first, and it goes on from there."""
        if not self.session.parent:
            return self.first_state()
        forked = read_sealed(self.folder / FORK)
        graph.update_state(config, forked["values"], as_node=forked["node"])
        return None

    @contextmanager
    def graph(self) -> Iterator[tuple[CompiledStateGraph[Any, Any, Any, Any], Any]]:
        """Give the graph over the session's checkpoint, and the config that names its thread; raise CheckpointLost."""
        from agents.checkpoints import checkpoints
        from agents.graph import build_graph

        with ExitStack() as opened:
            try:
                saver = opened.enter_context(checkpoints(self.folder / CHECKPOINTS))
            except sqlite3.Error as error:
                raise CheckpointLost(self._lost(f"cannot be read ({error})")) from error
            config = {"configurable": {"thread_id": self.session.id}, "recursion_limit": _STEP_LIMIT}
            yield build_graph(saver), config

    @property
    def is_busy(self) -> bool:
        """Whether a process drives the session."""
        return is_held(self.lock_file)

    def summed_up(self, status: Status) -> Summary:
        """Return how the session stands by its newest state; no hidden number before it has ended."""
        from agents.state import spend_of, versions_of

        state, ended = self.state(), status in ("victory", "concluded")
        versions = versions_of(state)
        found = (_tried(self.session, version, ended) for version in versions)
        tried = tuple(tried for tried in found if tried)
        spend = spend_of(state)
        return Summary(status=status, tried=tried, spend=spend, versions=len(versions), best=_best(tried))

    def summarise(self, status: Status, error: str | None) -> None:
        """Write how the session stands and what it tried, for lists and for later sessions."""
        session = self.session
        target = load_committed_target(self.home.workspace, session.base)
        tree = tree_of(self.home.workspace, target, session.base, session.standing)
        summary = self.summed_up(status).model_copy(update={"error": error, "tree": tree})
        write_sealed(self.folder / "summary.json", summary.model_dump(mode="json"))


def _best(tried: Sequence[Tried]) -> Tried | None:
    """Return the win, or what was gained most in proofs or screens."""
    wins = [old for old in tried if old.outcome == "win"]
    measured = [old for old in tried if old.gained is not None]
    return max(wins or measured, key=lambda old: old.gained or 0.0, default=None)


def _tried(session: Session, version: Version, ended: bool) -> Tried | None:
    patch, verdict, measured = version.patch, version.verdict, version.experiment
    if patch is None or verdict is None:
        return None
    return Tried(
        session=session.id,
        idea=session.idea.name,
        version=version.n,
        preset=session.preset,
        train_tokens=session.train_tokens,
        diff_sha256=patch.diff_sha256,
        flags=flag_words(version.plan.flags),
        outcome=verdict.outcome,
        cause=verdict.cause,
        title=version.plan.title,
        date=session.started_at[:10],
        ended=measured.ended if measured else None,
        screened=measured.visible_effect.mean if measured and measured.visible_effect else None,
        effect=measured.effect if measured and ended else None,
        ci=measured.ci if measured and ended else None,
        lessons=verdict.lessons,
    )
