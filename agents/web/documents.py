"""A session's paper, its figures and the idea log as the page renders them, and as files to take away.

Their words are in part a model's: Markdown is rendered without HTML and without links, and only with our own figures.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from agents.errors import SessionError
from agents.plain_text import plain_lines
from agents.report.plots import figures
from agents.session import Opened
from agents.state import baseline_of, versions_of

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

IDEA_LOG = "docs/research/idea_log.md"


def paper(opened: Opened) -> str:
    """Return the newest paper on record; raise SessionError if none was written yet."""
    with opened.journal() as journal:
        written = [body["files"] for body in journal.bodies("documents").values()]
    found = [
        files[path] for files in reversed(written) for path in files if PurePosixPath(path).parent.name == "papers"
    ]
    if not found:
        raise SessionError("No paper has been written yet: the first comes with the first verdict.")
    return str(found[0])


def drawn(opened: Opened) -> dict[str, Callable[[], str]]:
    """Return what draws the session's figures, by name."""
    state = opened.state()
    floor = baseline_of(state)
    return figures(floor, versions_of(state), ended=bool(state.get("status"))) if floor else {}


def rendered(text: str, sources: Mapping[str, str]) -> str:
    """Return Markdown as HTML; `sources` gives the address of each figure by its name, and others are left out."""
    tokens = _markdown().parse(plain_lines(text, len(text)))
    for token in (child for parent in tokens for child in [parent, *(parent.children or [])]):
        if token.type == "image":
            name = PurePosixPath(str(token.attrs["src"])).stem
            if name in sources:
                token.attrs = {"src": sources[name], "alt": ""}
            else:
                token.type, token.content = "text", f"[figure {token.content}]"
    return str(_markdown().renderer.render(tokens, _markdown().options, {}))


def embedded(opened: Opened) -> dict[str, str]:
    """Return each figure as an address that has the whole figure in it."""
    return {
        name: f"data:image/svg+xml;base64,{base64.b64encode(draw().encode()).decode()}"
        for name, draw in drawn(opened).items()
    }


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "autolink", "reference"])
