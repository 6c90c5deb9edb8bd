"""A researcher without a model: ideas from the literature, each with a source, real patches and V-Next variants.

An idea is a folder `ideas/<name>/` with an idea.toml and one diff a variant. Nothing in it says how a variant
will do: a variant names the causes of failure that its mathematics answers, and the verdict picks among them.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, ValidationError

from agents.errors import ReplyRefused, UsageError
from agents.ports import Question, Reply
from agents.records import Ablation, Cause, Change, Flag, Idea, Plan, Record, Revision, Tried, flag_words
from agents.researchers.nobody import Nobody

IDEAS = Path(__file__).parent / "ideas"
SIMILARITY = 0.5
"""The share of a request's words that an idea must know, for the catalogue to take it as that idea."""
_STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "as",
        "at",
        "by",
        "for",
        "from",
        "in",
        "instead",
        "is",
        "it",
        "of",
        "on",
        "or",
        "the",
        "to",
        "try",
        "use",
        "with",
    ]
)


class Variant(Record):
    """One version of an idea; `answers` are the causes of a failure that it is an answer to."""

    model_config = ConfigDict(str_strip_whitespace=True)

    name: str
    answers: tuple[Cause, ...] = ()
    title: str
    hypothesis: str
    method: str
    files: tuple[str, ...] = ()
    flags: tuple[Flag, ...]
    diff: str = ""
    ablations: tuple[Ablation, ...] = ()

    @property
    def flags_text(self) -> tuple[str, ...]:
        """The flags as name=value words, as sessions remember them."""
        return flag_words(self.flags)


class Entry(Record):
    """An idea of the catalogue."""

    model_config = ConfigDict(str_strip_whitespace=True)

    name: str
    text: str
    source: str
    keywords: str
    criteria: str
    risks: str = ""
    variants: tuple[Variant, ...]

    @property
    def words(self) -> frozenset[str]:
        """All words that a request for this idea may use."""
        titles = " ".join(variant.title for variant in self.variants)
        return _words(f"{self.name} {self.text} {self.keywords} {titles}")


class Catalogue:
    """Answers every skill's questions from the entries on file."""

    def __init__(self, folder: Path = IDEAS) -> None:
        if not folder.is_dir():
            raise UsageError(f"There is no folder {folder} with ideas.")
        self.name = "catalogue" if folder == IDEAS else f"catalogue:{folder}"
        self._folder = folder

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """All ideas: those that change the least code first, for they are read soonest; flags alone come last."""
        read = [(_read(file), file.parent) for file in self._folder.glob("*/idea.toml")]
        return tuple(entry for entry, _ in sorted(read, key=lambda pair: _first_look(*pair)))

    def idea(self, text: str, tried: Sequence[Tried]) -> Idea:
        """Return the entry that a person's words mean, or the first with a variant that has not failed before.

        Raises:
            UsageError: no entry is similar enough, or all that it has was tried on this code.
        """
        if text:
            entry = self._meant(text)
        else:
            fresh = [entry for entry in self.entries if _untried(entry, tried, ())]
            if not fresh:
                raise UsageError(
                    "All variants of all ideas in the catalogue were tried on this code and did not win; "
                    "--no-memory tries them again."
                )
            entry = fresh[0]
        if not _untried(entry, tried, ()):
            raise UsageError(
                f"All variants of {entry.name!r} were tried on this code and did not win ({_record(entry, tried)}); "
                "--no-memory tries again."
            )
        return Idea(text=text or entry.text, name=entry.name)

    def ideas(self, tried: Sequence[Tried]) -> tuple[Idea, ...]:
        """Return every entry with a variant that has not failed before."""
        fresh = (entry for entry in self.entries if _untried(entry, tried, ()))
        return tuple(Idea(text=entry.text, name=entry.name) for entry in fresh)

    def ask(self, question: Question, reply: type[Reply]) -> Reply:
        """Answer by the type of the reply; raise ReplyRefused for a type or an idea that is not in the catalogue."""
        context = question.context
        answers = {Plan: self._plan, Change: self._change, Revision: self._revision}
        entry = next((entry for entry in self.entries if entry.name == context["idea"]["name"]), None)
        if reply not in answers or (entry is None and reply is Revision):
            return Nobody().ask(question, reply)
        if entry is None:
            raise ReplyRefused(f"The catalogue has no idea {context['idea']['name']!r}.")
        return reply.model_validate(answers[reply](entry, context))

    def _meant(self, text: str) -> Entry:
        if named := [entry for entry in self.entries if text in (entry.name, entry.text)]:
            return named[0]
        wanted = _words(text)
        shares = [(len(wanted & entry.words) / max(1, len(wanted)), entry) for entry in self.entries]
        share, entry = max(shares, key=lambda pair: pair[0])
        if share < SIMILARITY:
            known = "".join(f"\n  {entry.name}: {entry.text}" for entry in self.entries)
            raise UsageError(
                f"The catalogue has no idea like {text!r} (best match {share:.0%} of its words, "
                f"{SIMILARITY:.0%} are needed). It has:{known}"
            )
        return entry

    def _plan(self, entry: Entry, context: dict[str, Any]) -> dict[str, Any]:
        versions = context["versions"]
        variant = _next(entry, context)
        if variant is None:
            variant = entry.variants[0]
        rejection = context["rejection"]
        method = (
            f"{variant.method} A person rejected version {versions[-1]['n']}: {rejection}"
            if rejection
            else variant.method
        )
        return {
            "title": variant.title,
            "hypothesis": variant.hypothesis,
            "method": method,
            "files": variant.files,
            "flags": [flag.model_dump() for flag in variant.flags],
            "criteria": entry.criteria,
            "risks": entry.risks,
            "source": entry.source,
            "variant": variant.name,
            "ablations": [ablation.model_dump() for ablation in variant.ablations],
        }

    def _change(self, entry: Entry, context: dict[str, Any]) -> dict[str, Any]:
        variant = next(v for v in entry.variants if v.name == context["version"]["plan"]["variant"])
        diff = (self._folder / entry.name / variant.diff).read_text(encoding="utf-8") if variant.diff else ""
        return {"diff": diff, "summary": variant.method}

    def _revision(self, entry: Entry, context: dict[str, Any]) -> dict[str, Any]:
        verdict = context["verdict"]
        used = tuple(version["plan"]["variant"] for version in context["versions"])
        fitting = [v for v in _untried(entry, _tried(context), used) if verdict["cause"] in v.answers]
        if not fitting:
            return {
                "exhausted": True,
                "change": f"the catalogue has no further variant for a failure by {verdict['cause']}.",
            }
        variant = fitting[0]
        return {"exhausted": False, "change": f"{variant.title}: {variant.method}", "variant": variant.name}


def _next(entry: Entry, context: dict[str, Any]) -> Variant | None:
    """The variant that the last revision named, else the first that was not tried yet."""
    versions = context["versions"]
    revision = versions[-1]["revision"] if versions else None
    if revision:
        return next(variant for variant in entry.variants if variant.name == revision["variant"])
    used = tuple(version["plan"]["variant"] for version in versions)
    return next(iter(_untried(entry, _tried(context), used)), None)


def _untried(entry: Entry, tried: Sequence[Tried], used: Sequence[str]) -> list[Variant]:
    failed = {old.flags for old in tried if old.idea == entry.name and old.failed}
    return [v for v in entry.variants if v.name not in used and v.flags_text not in failed]


def _record(entry: Entry, tried: Sequence[Tried]) -> str:
    """How an entry's variants failed, and in which sessions."""
    failed = [old for old in tried if old.idea == entry.name and old.failed]
    return "; ".join(f"session {old.session}: {old.outcome} by {old.cause}" for old in failed)


def _tried(context: dict[str, Any]) -> list[Tried]:
    return [Tried.model_validate(old) for old in context["tried"]]


def _first_look(entry: Entry, folder: Path) -> tuple[float, str]:
    """How much there is to read of an entry's first variant, and its name."""
    diff = entry.variants[0].diff
    lines = (folder / diff).read_text(encoding="utf-8").splitlines() if diff else []
    return sum(line[:1] in ("+", "-") for line in lines) or math.inf, entry.name


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9]+", text.lower())) - _STOP_WORDS


def _read(file: Path) -> Entry:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        return Entry.model_validate(document | {"name": file.parent.name})
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ReplyRefused(f"{file} is no entry of the catalogue: {error}") from error
