"""Every answer of the world, once: the ports of a session, each call of which is on record under what it was asked.

`once(kind, key, effect)` is the journal's, or a replay's, which never lets an effect happen. So a session that goes on
after a kill and a replay of it walk through the same wrappers; only what stands behind `once` differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter

from agents.errors import DiffRefused, Halted
from agents.ports import Clock, Inspect, Laboratory, Order, Question, Reply, Researcher, Switches, Text, Workspace
from agents.records import Idea, Issue, Patch, Plan, Run, Tried, Usage, digest

_RUNS, _ISSUES = TypeAdapter(tuple[Run, ...]), TypeAdapter(tuple[Issue, ...])


class Once(Protocol):
    """The record: a kind and a key name what was asked."""

    def __call__(self, kind: str, key: str, effect: Callable[[], Any]) -> Any:
        """Return the body on record, or do the effect and put it there."""
        ...


class RecordedResearcher:
    """A researcher whose replies are asked for once; that it gave none is on record, too."""

    def __init__(self, inner: Researcher, once: Once) -> None:
        self.name = inner.name
        self._inner, self._once = inner, once

    def idea(self, text: str, tried: Sequence[Tried]) -> Idea:
        """Turn a person's words into an idea."""
        body = self._once("idea", digest(text), lambda: self._inner.idea(text, tried).model_dump(mode="json"))
        return Idea.model_validate(body)

    def ideas(self, tried: Sequence[Tried]) -> tuple[Idea, ...]:
        """Return what the researcher would try by itself."""
        return self._inner.ideas(tried)

    def ask(self, question: Question, reply: type[Reply]) -> Reply:
        """Answer a question, or repeat the recorded answer to the same text."""

        def answer() -> dict[str, Any]:
            asked = {"skill": question.skill, "question": question.text}
            try:
                return asked | {"reply": self._inner.ask(question, reply).model_dump(mode="json")}
            except Halted as halted:
                return asked | {"halted": str(halted)}

        key = digest([question.skill, question.template, question.text])
        found = self._once("reply", key, answer)
        if "halted" in found:
            raise Halted(found["halted"])
        return reply.model_validate(found["reply"])


class RecordedClock:
    """A clock whose readings are taken once for each named moment."""

    def __init__(self, inner: Clock, once: Once) -> None:
        self._inner, self._once = inner, once

    def now(self, moment: str) -> str:
        """Return the time of a named moment."""
        return str(self._once("time", moment, lambda: self._inner.now(moment)))

    def elapsed(self, moment: str) -> float:
        """Return the seconds that this session had been worked on at a named moment."""
        return float(self._once("elapsed", moment, lambda: self._inner.elapsed(moment)))


class RecordedWorkspace:
    """A workspace whose commits are on record by what they were made of; a figure counts by its name alone.

    The numbers that a figure draws are in the state, and another version of the plotting library draws other bytes.
    """

    def __init__(self, inner: Workspace, once: Once) -> None:
        self._inner, self._once = inner, once

    def commit_version(self, branch: str, base: str, diff: str, message: str) -> Patch:
        """Commit a diff on the base; raise DiffRefused if it fails."""

        def commit() -> dict[str, Any]:
            try:
                return self._inner.commit_version(branch, base, diff, message).model_dump(mode="json")
            except DiffRefused as refused:
                return {"refused": str(refused)}

        return Patch.model_validate(_or_refused(self._once("commit", digest([branch, base, diff, message]), commit)))

    def carry(self, diff: str, origin: str, base: str, both: Callable[[str], bool]) -> str:
        """Return the diff that makes on `base` the change that this one makes on `origin`; raise DiffRefused."""

        def carried() -> dict[str, str]:
            try:
                return {"diff": self._inner.carry(diff, origin, base, both)}
            except DiffRefused as refused:
                return {"refused": str(refused)}

        return str(_or_refused(self._once("carry", digest([diff, origin, base]), carried))["diff"])

    def keep(self, branch: str, commit: str) -> None:
        """Point a branch at a commit."""

        def kept() -> bool:
            self._inner.keep(branch, commit)
            return True

        self._once("keep", f"{branch} {commit}", kept)

    def commit_documents(self, branch: str, after: str, files: Mapping[str, Text], message: str) -> str:
        """Commit text files on the commit `after`."""
        texts = documents_of(files)

        def commit() -> dict[str, Any]:
            made = self._inner.commit_documents(branch, after, files, message)
            return {"commit": made, "message": message, "files": texts}

        return str(self._once("documents", digest([branch, after, texts, message]), commit)["commit"])

    def diff(self, base: str, commit: str) -> bytes:
        """Return the exact bytes of base..commit."""
        text = self._once("diff", f"{base} {commit}", lambda: self._inner.diff(base, commit).decode("latin-1"))
        return str(text).encode("latin-1")

    def read(self, commit: str, path: str) -> str | None:
        """Return a text file at a commit, or None if there is none."""
        found: str | None = self._once("file", f"{commit} {path}", lambda: [self._inner.read(commit, path)])[0]
        return found

    def tree_sha256(self, commit: str, paths: Sequence[str]) -> str:
        """Return a hash over the files under these paths."""
        return self._inner.tree_sha256(commit, paths)

    def export(self, commit: str) -> Path:
        """Return a folder with the files of a commit."""
        return self._inner.export(commit)

    def restore(self, commit: str, base: str, editable: Callable[[str], bool], folder: Path) -> None:
        """Write files to a folder."""
        self._inner.restore(commit, base, editable, folder)


def documents_of(files: Mapping[str, Text]) -> dict[str, str]:
    """Return documents as they are on record: texts whole, figures by their name."""
    return {path: text if isinstance(text, str) else "a figure" for path, text in files.items()}


class RecordedLaboratory:
    """A laboratory that is asked once for what a run, a baseline or a log is."""

    def __init__(self, inner: Laboratory, once: Once) -> None:
        self._inner, self._once = inner, once

    def baseline_key(self, base: str, preset: str, train_tokens: int, flags: Switches = ()) -> str:
        """Return the key under which baselines are the same."""
        key = digest([base, preset, train_tokens, flags])
        return str(self._once("key", key, lambda: self._inner.baseline_key(base, preset, train_tokens, flags)))

    def recorded_baseline(self, key: str) -> tuple[Run, ...]:
        """Return the floor's runs that an earlier session recorded."""
        found = self._once("floor", key, lambda: _plain(self._inner.recorded_baseline(key)))
        return _RUNS.validate_python(found)

    def record_baseline(self, key: str, runs: Sequence[Run]) -> None:
        """Record the floor's runs for later sessions."""

        def kept() -> int:
            self._inner.record_baseline(key, runs)
            return len(runs)

        self._once("floor kept", key, kept)

    def run(self, orders: Sequence[Order]) -> list[Run]:
        """Train what is not on record: the laboratory puts each run there by itself, as soon as it ended."""
        return self._inner.run(orders)

    def excerpt(self, run: Run) -> str:
        """Return the head and the tail of a run's log."""
        return str(self._once("excerpt", run.key, lambda: self._inner.excerpt(run)))

    def keep_checkpoint(self, order: Order) -> str:
        """Put the weights of a run in a place of their own; return its path, or ""."""
        return str(self._once("checkpoint", order.key, lambda: self._inner.keep_checkpoint(order)))

    def close(self) -> None:
        """Remove what only running needed."""
        self._inner.close()


def recorded_inspection(inspect: Inspect, once: Once) -> Inspect:
    """Return a mechanical review that is made once."""

    def inspected(commit: str, plan: Plan) -> tuple[Issue, ...]:
        key = digest([commit, plan.model_dump(mode="json")])
        found = once("inspection", key, lambda: _plain(inspect(commit, plan)))
        return _ISSUES.validate_python(found)

    return inspected


def recorded_usage(used: Callable[[], Usage], once: Once) -> Callable[[str], Usage]:
    """Return what has been used until a named moment."""
    return lambda moment: Usage.model_validate(once("usage", moment, lambda: used().model_dump(mode="json")))


def _plain(records: Sequence[Any]) -> list[Any]:
    return [record.model_dump(mode="json") for record in records]


def _or_refused(body: dict[str, Any]) -> dict[str, Any]:
    if "refused" in body:
        raise DiffRefused(body["refused"])
    return body
