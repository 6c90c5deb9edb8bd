"""The five skills and the questions that they are asked.

A skill is a folder in the Agent Skills format (SKILL.md with a name and a description); a question is a Jinja2
template in prompts/ over the session's records. A target's own skills/ folder goes before Circle's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.errors import TargetError
from agents.ports import Question

if TYPE_CHECKING:
    from jinja2 import Environment

NAMES = (
    "experiment-planner",
    "implementation-reviewer",
    "experiment-runner",
    "experiment-analyzer",
    "idea-revisor",
)


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
    """Return the skills in use for a target; raise TargetError for a page without front matter."""
    return tuple(_skill(name, target) for name in NAMES)


def question(skill: str, template: str, **context: Any) -> Question:
    """Render the question `template` for a skill over JSON-plain context."""
    text = _environment().get_template(f"{template}.md.j2").render(**context)
    return Question(skill=skill, template=template, context=context, text=text)


def _skill(name: str, target: Path | None) -> Skill:
    own = target / "skills" / name / "SKILL.md" if target else None
    file, origin = (own, "target") if own and own.is_file() else (data_folder("skills") / name / "SKILL.md", "circle")
    head = file.read_text(encoding="utf-8").split("---")
    fields = dict(line.partition(":")[::2] for line in head[1].splitlines() if ":" in line) if len(head) > 2 else {}
    if "description" not in fields:
        raise TargetError(f"{file} has no front matter with a name and a description.")
    return Skill(name=name, description=fields["description"].strip(), file=file, origin=origin)


@cache
def _environment() -> Environment:
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(data_folder("prompts")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["json"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    return environment
