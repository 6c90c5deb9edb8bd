"""A session's paper, its figures and the idea log as the page renders them, and as files to take away.

Their words are in part a model's: Markdown is rendered without HTML and without links, and only with our own figures.
"""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from agents.campaign.record import OpenCampaign
from agents.errors import SessionError
from agents.plain_text import plain_lines
from agents.report.plots import figures
from agents.session import Opened
from agents.state import baseline_of, versions_of

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

IDEA_LOG = "docs/research/idea_log.md"
_TABLE = '<div class="scroll" tabindex="0" role="region" aria-label="A table"><table>'
"""A wide table is scrolled by itself, by keys, too."""


@dataclass(frozen=True)
class Document:
    """A text with what draws its figures, by name, to be read on a page or taken away."""

    name: str
    title: str
    text: str
    figures: Mapping[str, Callable[[], str]] = field(default_factory=dict)

    def html(self) -> str:
        """Return it as HTML that has its figures in it."""
        return rendered(self.text, {name: _address(draw()) for name, draw in self.figures.items()})

    def archive(self) -> bytes:
        """Return it as a zip: the Markdown, and its figures where the Markdown has them."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{self.name}.md", self.text)
            for place in dict.fromkeys(_images(self.text)):
                path = PurePosixPath(place)
                if path.stem in self.figures and not path.is_absolute() and ".." not in path.parts:
                    archive.writestr(place, self.figures[path.stem]())
        return packed.getvalue()


def paper(opened: Opened) -> Document:
    """Return the newest paper on record; raise SessionError if none was written yet."""
    with opened.journal() as journal:
        written = [body["files"] for body in journal.bodies("documents").values()]
    found = [
        files[path] for files in reversed(written) for path in files if PurePosixPath(path).parent.name == "papers"
    ]
    if not found:
        raise SessionError("No paper has been written yet: the first comes with the first verdict.")
    return Document(opened.session.idea.name, opened.session.idea.text, str(found[0]), drawn(opened))


def morning_report(opened: OpenCampaign) -> Document:
    """Return a campaign's report; its text is "" before the night has ended."""
    effects = opened.folder / "effects.svg"
    figures = {"effects": lambda: _text(effects)} if effects.is_file() else {}
    name = opened.campaign.id
    return Document(f"campaign-{name}", f"Campaign {name}", _text(opened.folder / "report.md"), figures)


def idea_log(target: Path) -> Document:
    """Return the target's idea log."""
    text = _text(target / IDEA_LOG) or "# Idea log\n\nNothing was merged into it yet."
    return Document("idea_log", "Idea log", text)


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


def _address(figure: str) -> str:
    """An address that has the whole figure in it."""
    return f"data:image/svg+xml;base64,{base64.b64encode(figure.encode()).decode()}"


def _images(text: str) -> Iterator[str]:
    """The places of a Markdown text's images."""
    for parent in _markdown().parse(text):
        yield from (str(token.attrs["src"]) for token in parent.children or [] if token.type == "image")


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "autolink", "reference"])
    markdown.add_render_rule("table_open", lambda *_: _TABLE)
    markdown.add_render_rule("table_close", lambda *_: "</table></div>")
    return markdown
