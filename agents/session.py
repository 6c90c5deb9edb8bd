"""One session on disk: its folder, its lock, and the loop that drives the graph through it.

.circle/sessions/<id>/session.json       what the session is about; never changes
                      checkpoints.sqlite LangGraph's, one thread
                      journal.sqlite     every effect, once
                      runs/ checkpoint/  logs, reports, the winning weights
                      summary.json       how it stands: for lists and for later sessions' memory
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import ValidationError

from agents.errors import CircleError, Interrupted, SessionError
from agents.journal import Journal, JournaledClock, JournaledResearcher
from agents.ports import Context, Reporter, Researcher, silent
from agents.records import Approval, Budget, Idea, Patch, Plan, Record, Session, Tried, Version
from agents.settings import FILE, Target, load_target, parse_target
from agents.workspace import GitWorkspace

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

    from agents.laboratory.local import LocalLaboratory
    from agents.state import State

Status = Literal["running", "awaiting_approval", "victory", "concluded", "stopped", "failed"]
_STEP_LIMIT = 10_000


class Summary(Record):
    """How a session stands, and what it tried on the training code whose hash is `tree`."""

    status: Status
    error: str | None = None
    tree: str | None = None
    tried: tuple[Tried, ...] = ()


@dataclass(frozen=True)
class Options:
    """What a person may say at the start; None takes the target's or the machine's default."""

    preset: str | None = None
    train_tokens: int | None = None
    turbo: bool = False
    budget: Budget = field(default_factory=Budget)
    minimum_effect: float = 0.0
    confidence: Literal["standard", "relaxed"] = "standard"
    workers: int | None = None
    no_sandbox: bool = False
    secret: str | None = None
    fresh_baseline: bool = False
    memory: bool = True


class WallClock:
    """The machine's clock; `elapsed` goes on from what earlier processes of the session have used."""

    def __init__(self, before: float) -> None:
        self._before, self._started = before, time.monotonic()

    def now(self, moment: str) -> str:
        """Return the time in UTC, ISO 8601 to the second."""
        return now()

    def elapsed(self) -> float:
        """Return the seconds that the session has been worked on."""
        return round(self._before + time.monotonic() - self._started, 3)


def now() -> str:
    """Return the time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
            return Opened(self, Session.model_validate_json(file.read_bytes()))
        except OSError:
            raise SessionError(
                f"There is no session {name!r} in {self.folder}: circle list shows what there is."
            ) from None
        except ValidationError:
            raise SessionError(f"Session {name!r} cannot be read: {file} is damaged, or of another version.") from None

    def tried(self, tree_sha256: str) -> tuple[Tried, ...]:
        """Return what earlier sessions tried on the same training code."""
        summaries = [opened.summary() for opened in reversed(self.sessions())]
        return tuple(tried for summary in summaries if summary.tree == tree_sha256 for tried in summary.tried)


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
    home: Home, text: str, researcher: Researcher, options: Options, brought: tuple[str, Plan] | None = None
) -> Opened:
    """Make a session's folder and record; with a diff that the person brought, its first version, too."""
    from agents.laboratory.sandbox import choose

    workspace = home.workspace
    base = workspace.head()
    target = load_committed_target(workspace, base)
    preset = options.preset or target.preset
    tokens = options.train_tokens or target.scale(preset).train_tokens
    tree = workspace.tree_sha256(base, target.paths.training)
    tried = home.tried(tree) if options.memory else ()
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
        workers=options.workers or max(1, (os.cpu_count() or 1) // target.train.threads),
        budget=options.budget,
        started_at=now(),
        tried=tried,
    )
    opened = Opened(home, session)
    opened.folder.mkdir(parents=True)
    versions = [_brought(opened, *brought)] if brought else []
    (opened.folder / "versions.json").write_text(json.dumps(versions), encoding="utf-8")
    _write(opened.folder / "session.json", session.model_dump_json(indent=1))
    return opened


def newest_diff(opened: Opened) -> tuple[bytes, str]:
    """Return the exact bytes of the newest version's diff, from git, and their SHA-256."""
    from agents.state import versions_of

    patches = [version.patch for version in versions_of(opened.state()) if version.patch]
    if not patches:
        raise SessionError(f"Session {opened.session.id} has no diff yet.")
    text = opened.home.workspace.diff(opened.session.base, patches[-1].commit)
    return text, hashlib.sha256(text).hexdigest()


def check_waiting(opened: Opened, sha256: str) -> None:
    """Raise SessionError unless the session waits for a decision on exactly these bytes."""
    if opened.status() != "awaiting_approval":
        raise SessionError(f"Session {opened.session.id} does not wait for an approval: it is {opened.status()}.")
    actual = newest_diff(opened)[1]
    if sha256.lower() != actual:
        raise SessionError(
            f"The diff that waits has the SHA-256 {actual}, not {sha256}: look at it again with "
            f"circle diff {opened.session.id}."
        )


@contextmanager
def measuring(
    home: Home, preset: str | None, report: Reporter
) -> Iterator[tuple[Target, LocalLaboratory, str, str, int]]:
    """Give a laboratory for the current commit outside any session, with the base, the preset and its tokens."""
    base = home.workspace.head()
    target = load_committed_target(home.workspace, base)
    scale = preset or target.preset
    tokens = target.scale(scale).train_tokens
    home.prepare()
    folder = home.folder / "measurements" / now().replace(":", "")
    folder.mkdir(parents=True)
    workers = max(1, (os.cpu_count() or 1) // target.train.threads)
    yield target, _laboratory(home, target, base, scale, folder, "bubblewrap", workers, report)[0], base, scale, tokens


def _laboratory(
    home: Home, target: Target, base: str, preset: str, folder: Path, sandbox: str, workers: int, report: Reporter
) -> tuple[LocalLaboratory, Journal]:
    from agents.laboratory.local import LocalLaboratory
    from agents.laboratory.sandbox import choose

    journal = Journal(folder / "journal.sqlite")
    laboratory = LocalLaboratory(
        target=target,
        base=base,
        preset=preset,
        home=home.folder,
        folder=folder,
        workspace=home.workspace,
        sandbox=choose(sandbox == "none"),
        journal=journal,
        workers=workers,
        report=report,
    )
    return laboratory, journal


def _brought(opened: Opened, diff: str, plan: Plan) -> dict[str, Any]:
    session = opened.session
    patch: Patch = opened.home.workspace.commit_version(
        f"circle/{session.id}/v1", session.base, diff, f"{plan.title}\n\nA person's own diff."
    )
    return Version(n=1, parent=None, plan=plan, brought=True, patch=patch).model_dump(mode="json")


@dataclass(frozen=True)
class Opened:
    """A session that lies in a target's `.circle`."""

    home: Home
    session: Session

    @property
    def folder(self) -> Path:
        """The session's own folder."""
        return self.home.folder / "sessions" / self.session.id

    def drive(self, report: Reporter = silent, answer: Approval | None = None) -> State:
        """Run the graph to its end, to the next approval, or until it is asked to stop; return the state.

        Raises:
            Interrupted: a person or a signal asked to stop; the session resumes where it was.
            CircleError: what went wrong, in a sentence; the session is resumable.
        """
        with self._locked(), self._stopped_by_signals():
            (self.folder / "stop").unlink(missing_ok=True)
            try:
                state = self._drive(report, answer)
            except (Interrupted, KeyboardInterrupt):
                self._summarise("stopped", None)
                raise Interrupted(
                    f"Session {self.session.id} has stopped; circle resume {self.session.id} goes on."
                ) from None
            except CircleError as error:
                self._summarise("failed", str(error))
                raise
            self._summarise(self._standing(), None)
        return state

    def _drive(self, report: Reporter, answer: Approval | None) -> State:
        from langgraph.types import Command

        with self._graph() as (graph, config):
            before = graph.get_state(config)
            if before.interrupts and answer is None:
                return self.state()
            context = self._context(report, before.values.get("wall_seconds", 0.0))
            step: Any = None if before.values else self._first_state()
            if answer is not None:
                step = Command(resume=answer.model_dump(mode="json"))
            for _ in graph.stream(step, config, context=context, durability="sync"):
                if (self.folder / "stop").exists():
                    raise Interrupted
        return self.state()

    def state(self) -> State:
        """Return the newest checkpoint's state."""
        with self._graph() as (graph, config):
            values = graph.get_state(config).values
        return cast("State", values) if values else self._first_state()

    def status(self) -> Status:
        """Return how the session stands."""
        if self._busy():
            return "running"
        standing = self._standing()
        failed = standing == "stopped" and self.summary().error
        return "failed" if failed else standing

    def summary(self) -> Summary:
        """Return the last summary; a damaged one is as good as none."""
        try:
            return Summary.model_validate_json((self.folder / "summary.json").read_bytes())
        except (OSError, ValueError):
            return Summary(status="stopped")

    def ask_to_stop(self) -> None:
        """Leave word for the process that drives the session to stop at its next boundary."""
        (self.folder / "stop").touch()

    def _standing(self) -> Status:
        with self._graph() as (graph, config):
            found = graph.get_state(config)
        ended = found.values.get("status")
        if ended in ("victory", "concluded"):
            return "victory" if ended == "victory" else "concluded"
        return "awaiting_approval" if found.interrupts else "stopped"

    def _first_state(self) -> State:
        versions = json.loads((self.folder / "versions.json").read_text(encoding="utf-8"))
        return {"session": self.session.model_dump(mode="json"), "versions": versions, "runs": {}}

    def _context(self, report: Reporter, seconds: float) -> Context:
        from agents.researchers import open_researcher

        session, home = self.session, self.home
        target = load_committed_target(home.workspace, session.base)
        laboratory, journal = _laboratory(
            home, target, session.base, session.preset, self.folder, session.sandbox, session.workers, report
        )
        return Context(
            session=session,
            target=target,
            researcher=JournaledResearcher(open_researcher(session.researcher, journal.count("reply")), journal),
            workspace=home.workspace,
            laboratory=laboratory,
            clock=JournaledClock(WallClock(seconds), journal),
            report=report,
        )

    @contextmanager
    def _graph(self) -> Iterator[tuple[CompiledStateGraph[Any, Any, Any, Any], Any]]:
        os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"
        os.environ["LANGSMITH_TRACING"] = "false"
        from langgraph.checkpoint.sqlite import SqliteSaver

        from agents.graph import build_graph

        with SqliteSaver.from_conn_string(str(self.folder / "checkpoints.sqlite")) as saver:
            config = {"configurable": {"thread_id": self.session.id}, "recursion_limit": _STEP_LIMIT}
            yield build_graph(saver), config

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SessionError(f"Session {self.session.id} is being run by another process.") from None
            yield

    @contextmanager
    def _stopped_by_signals(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM interrupt at once, and leave word in case a library swallows the interruption."""

        def handle(number: int, frame: object) -> None:
            self.ask_to_stop()
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

    def _busy(self) -> bool:
        with (self.folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _summarise(self, status: Status, error: str | None) -> None:
        from agents.nodes.reviewer import flags_text
        from agents.state import versions_of

        target = load_committed_target(self.home.workspace, self.session.base)
        tree = self.home.workspace.tree_sha256(self.session.base, target.paths.training)
        tried = tuple(
            Tried(
                session=self.session.id,
                idea=self.session.idea.name,
                version=version.n,
                diff_sha256=version.patch.diff_sha256,
                flags=flags_text(version),
                outcome=version.verdict.outcome,
                cause=version.verdict.cause,
            )
            for version in versions_of(self.state())
            if version.patch and version.verdict
        )
        summary = Summary(status=status, error=error, tree=tree, tried=tried)
        _write(self.folder / "summary.json", summary.model_dump_json())


def _write(file: Path, text: str) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)
