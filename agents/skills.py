"""The five skills and the questions that they are asked.

A skill is a folder in the Agent Skills format (SKILL.md with a name and a description); a question is a Jinja2
template in prompts/ over the session's records. A target's own skills/ folder goes before Circle's.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.errors import TargetError
from agents.plain_text import plain_lines
from agents.ports import Desk, Question
from agents.records import Session, canonical

if TYPE_CHECKING:
    from jinja2 import Environment

NAMES = (
    "experiment-planner",
    "implementation-reviewer",
    "experiment-runner",
    "experiment-analyzer",
    "idea-revisor",
)
_MARK = "_mark"
_NONCE, _LONGEST_LINE, _LONGEST_PAGE = 16, 100_000, 60_000


@dataclass(frozen=True)
class Skill:
    """A skill as it is used: its page's front matter, and where it comes from."""

    name: str
    description: str
    file: Path
    origin: str


def data_folder(name: str) -> Path:
    """Return the folder `skills` or `prompts`, which a wheel holds as a part of this package."""
    return Path(__file__).parent / "data" / name


def discover(target: Path | None) -> tuple[Skill, ...]:
    """Return the skills in use for a target: Circle's five, and what its own skills/ adds or puts in their place.

    Raises TargetError for a page without front matter.
    """
    own = (target / "skills").glob("*/SKILL.md") if target else ()
    added = sorted({file.parent.name for file in own} - set(NAMES))
    return tuple(_skill(name, target) for name in (*NAMES, *added))


def instructions(name: str, target: Path) -> str:
    """Return what a model is told of a skill: the page's body, the pages below it that it names, and other skills."""
    found = discover(target)
    skill = next(skill for skill in found if skill.name == name)
    _, body = _page(skill.file)
    pages = sorted(skill.file.parent.glob("references/*.md"))
    named = [page for page in pages if f"references/{page.name}" in body]
    parts = [body, *(f"# references/{page.name}\n\n{_text(page).strip()}" for page in named)]
    if added := [other for other in found if other.name not in NAMES]:
        lines = (f"- skills/{other.name}/SKILL.md: {other.description}" for other in added)
        parts.append("\n".join(["# Further skills of this repository, to be read where they help", "", *lines]))
    return "\n\n".join(parts)


def question(
    session: Session, skill: str, template: str, desk: Callable[[], Desk] | None = None, **context: Any
) -> Question:
    """Render the question `template` for a skill over JSON-plain context.

    What others wrote stands between marks that hold a number which they cannot know: it ends where it ends.
    """
    nonce = hmac.new(bytes.fromhex(session.secret), canonical([skill, template, context]).encode(), hashlib.sha256)
    asked = _environment().get_template(f"{template}.md.j2")
    text = asked.render(**context, **{_MARK: nonce.hexdigest()[:_NONCE]})
    return Question(skill=skill, template=template, context=context, text=text, desk=desk)


def data(nonce: str, text: str) -> str:
    """Return a text of others between marks, with nothing in it that acts, hides or reorders."""
    return f"<data {nonce}>\n{plain_lines(text, _LONGEST_LINE)}\n</data {nonce}>"


def _data(nonce: str, text: str) -> str:
    """As `data`, and indented: a line of it is never taken for one of the question's own."""
    lines = plain_lines(text, _LONGEST_LINE).split("\n")
    return "\n".join([f"<data {nonce}>", *(f"    {line}" if line else "" for line in lines), f"</data {nonce}>"])


def _skill(name: str, target: Path | None) -> Skill:
    own = target / "skills" / name / "SKILL.md" if target else None
    file, origin = (own, "target") if own and own.is_file() else (data_folder("skills") / name / "SKILL.md", "circle")
    fields, _ = _page(file)
    if "description" not in fields:
        raise TargetError(f"{file} has no front matter with a name and a description.")
    if fields.get("name", name) != name:
        raise TargetError(f"{file}: its name is {fields['name']!r}, and its folder's {name!r}: they must be the same.")
    return Skill(name=name, description=fields["description"], file=file, origin=origin)


def _page(file: Path) -> tuple[dict[str, str], str]:
    """Return the front matter's fields of a page, and the body below it."""
    lines = _text(file).split("\n")
    marks = [number for number, line in enumerate(lines) if line.rstrip() == "---"]
    if len(marks) < 2 or marks[0] != 0:
        return {}, "\n".join(lines).strip()
    pairs = (line.partition(":")[::2] for line in lines[1 : marks[1]] if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}, "\n".join(lines[marks[1] + 1 :]).strip()


def _text(file: Path) -> str:
    """Return a page's text; raise TargetError if it is none, or longer than any instructions."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TargetError(f"{file} cannot be read: {error}.") from error
    if len(text) > _LONGEST_PAGE:
        raise TargetError(f"{file} has {len(text):,} characters: a skill's page has {_LONGEST_PAGE:,} at most.")
    return text


@cache
def _environment() -> Environment:
    from jinja2 import FileSystemLoader, StrictUndefined, pass_context
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(data_folder("prompts")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["json"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    environment.filters["data"] = pass_context(lambda context, text: _data(context[_MARK], text))
    return environment
