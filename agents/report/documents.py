"""Writes the paper, its figures and the idea log as commits on the version's branch, outside the approved diff."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.ports import Context, Text
from agents.records import Idea, Interval
from agents.report.plots import figures
from agents.state import State, amended, baseline_of, spend_of, versions_of

if TYPE_CHECKING:
    from jinja2 import Environment

IDEA_LOG = "docs/research/idea_log.md"
_HEADING = "# Idea log\n\nEvery idea that was tried, with what was measured. Newest last.\n"


def paper_path(idea: Idea) -> str:
    """Return where an idea's paper lies."""
    return f"docs/research/papers/{idea.name}.md"


def written(state: State, context: Context, message: str) -> State:
    """Commit the documents that the state gives on the newest version with a patch; return what changed."""
    versions = versions_of(state)
    if not versions or versions[-1].patch is None or baseline_of(state) is None:
        return {"versions": state.get("versions", [])}
    patch, tip = versions[-1].patch, versions[-1].tip
    files = _documents(state, context)
    commit = context.workspace.commit_documents(patch.branch, tip or patch.commit, files, message)
    return {"versions": amended(state, tip=commit)}


def _documents(state: State, context: Context) -> dict[str, Text]:
    session, floor = context.session, baseline_of(state)
    path = paper_path(session.idea)
    drawn = figures(floor, versions_of(state), ended=bool(state.get("status"))) if floor else {}
    values = _values(state, context) | {"figures": {name: f"{session.idea.name}/{name}.svg" for name in drawn}}
    files: dict[str, Text] = {path: template("paper.md.j2").render(values)}
    files |= {f"{path.removesuffix('.md')}/{name}.svg": draw for name, draw in drawn.items()}
    if state.get("status"):
        log = context.workspace.read(session.base, IDEA_LOG) or _HEADING
        files[IDEA_LOG] = f"{log.rstrip()}\n\n{template('idea_log.md.j2').render(values)}"
    return files


def _values(state: State, context: Context) -> dict[str, Any]:
    return {
        "session": context.session,
        "target": context.target,
        "baseline": baseline_of(state),
        "versions": versions_of(state),
        "victory": state.get("victory"),
        "conclusion": state.get("conclusion", ""),
        "ended": bool(state.get("status")),
        "spend": spend_of(state),
    }


def template(name: str) -> Any:
    """Return a template of this folder, with the filters of all."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # noqa: S701  (Markdown, not HTML)
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "span": span, "ratio": ratio, "cell": cell}
    return environment


def number(value: float | None, digits: int = 4) -> str:
    """Return a number for reading; a dash where nothing was measured."""
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if abs(value) < 1e6 else f"{value:.3g}"


def span(interval: Interval | Sequence[float] | None, digits: int = 4) -> str:
    """Return an interval as [low, high], with its mean before it where it has one."""
    if interval is None:
        return "-"
    if not isinstance(interval, Interval):
        return f"[{interval[0]:+.{digits}f}, {interval[1]:+.{digits}f}]"
    return f"{interval.mean:+.{digits}f} [{interval.low:+.{digits}f}, {interval.high:+.{digits}f}]"


def cell(text: str) -> str:
    """Return words as one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def ratio(interval: Interval) -> str:
    """Return a ratio with its interval."""
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
