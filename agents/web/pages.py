"""The pages: each a function from a request to HTML. They read what is on record and change nothing.

The one exception is the whole text of a diff too long for its view: that a person was given it is remembered.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response

from agents.campaign.record import find_campaign
from agents.diff_view import DiffView, view_of
from agents.errors import CircleError, JournalDamaged, SessionError, TargetError
from agents.family import family
from agents.plain_text import visible
from agents.records import Session
from agents.session import CHECKPOINTS, Home, Opened
from agents.settings import load_target
from agents.show import has_ended
from agents.waiting import newest_patch, remember_seen
from agents.web import documents
from agents.web.launch import Launcher
from agents.web.live import view
from agents.web.shelf import NEWEST_FIRST, ORDERS, STATUSES, Shelf, Wanted
from agents.web.sides import side_by_side, whole_files
from agents.web.steps import Steps
from agents.web.words import ago, duration, number, signed, span, status_words

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.requests import Request

HERE = Path(__file__).parent
_FIGURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""Of a figure that is opened by itself: our plotting library styles it from within."""


@dataclass(frozen=True)
class Pages:
    """The pages of one target; `word` is what they send with whatever changes anything."""

    home: Home
    shelf: Shelf
    word: str
    launcher: Launcher

    def sessions(self, request: Request) -> Response:
        """List sessions and campaigns, and offer to start one."""
        asked = request.query_params
        wanted = Wanted(
            words=asked.get("words", ""),
            status=asked.get("status", ""),
            order=asked.get("order", NEWEST_FIRST),
            page=max(1, _whole(asked.get("page", "1"))),
        )
        return self._page(
            "sessions.html",
            found=self.shelf.find(wanted),
            wanted=wanted,
            campaigns=self.shelf.campaigns(),
            statuses=STATUSES,
            orders=ORDERS,
            address=lambda **other: _address(wanted, **other),
            presets=self._presets(),
            trouble=self._trouble(),
        )

    def session(self, request: Request) -> Response:
        """Show one session as it runs."""
        opened = self._opened(request)
        relatives = family(self.home, opened) if opened.session.parent or self._has_forks(opened) else []
        live = view(opened, self.launcher.failed.get(opened.session.id, ""))
        return self._page("session.html", session=opened.session, live=live, family=relatives, graph=_graph())

    def view(self, request: Request) -> Response:
        """Give what the page of a session draws, once."""
        opened = self._opened(request)
        return JSONResponse(view(opened, self.launcher.failed.get(opened.session.id, "")))

    def diff(self, request: Request) -> Response:
        """Show the newest diff side by side, with what a decision on it rests on."""
        opened = self._opened(request)
        found = _view(opened)
        assert found.version.patch is not None
        files = whole_files(found.diff, self.home.workspace, opened.session.base, found.version.patch.commit)
        lines = side_by_side(found.diff, files)
        return self._page("diff.html", session=opened.session, view=found, lines=lines, left_out=found.left_out)

    def raw_diff(self, request: Request) -> Response:
        """Give every byte of the newest diff, and remember that they were given."""
        opened = self._opened(request)
        found = _view(opened)
        name = f"{opened.session.id}-v{found.version.n}.diff"
        given = BackgroundTask(remember_seen, opened, found.sha256) if request.method == "GET" else None
        return Response(found.diff, media_type="text/plain; charset=utf-8", headers=_attached(name), background=given)

    def step(self, request: Request) -> Response:
        """Show one step: what it was asked, told and given, and the state that it left."""
        opened = self._opened(request)
        steps = Steps(opened)
        if not steps.marks:
            raise SessionError(f"Session {opened.session.id} has no steps on record yet: they come as nodes end.")
        number = _whole(request.path_params.get("number", str(steps.marks[0].number)))
        told = steps.step(number, has_ended(opened.summary().status))
        return self._page("step.html", session=opened.session, marks=steps.marks, told=told)

    def report(self, request: Request) -> Response:
        """Show the paper with its figures."""
        opened = self._opened(request)
        document, place = documents.paper(opened), f"/sessions/{opened.session.id}"
        html = documents.rendered(document.text, {name: f"{place}/figures/{name}.svg" for name in document.figures})
        return self._page("report.html", session=opened.session, title="Report", html=html, place=f"{place}/report")

    def report_file(self, request: Request) -> Response:
        """Give the paper as a file."""
        return self._file(documents.paper(self._opened(request)), request)

    def figure(self, request: Request) -> Response:
        """Draw a figure of the paper."""
        return _figure(documents.drawn(self._opened(request)), request)

    def idea_log(self, request: Request) -> Response:
        """Show the target's idea log."""
        html = documents.rendered(documents.idea_log(self.home.target).text, {})
        return self._page("report.html", session=None, title="Idea log", html=html, place="/log")

    def idea_log_file(self, request: Request) -> Response:
        """Give the target's idea log as a file."""
        return self._file(documents.idea_log(self.home.target), request)

    def campaign(self, request: Request) -> Response:
        """Show a campaign's sessions and its report."""
        opened = find_campaign(self.home, request.path_params["id"])
        document, place = documents.morning_report(opened), f"/campaigns/{opened.campaign.id}"
        html = documents.rendered(document.text, {name: f"{place}/figures/{name}.svg" for name in document.figures})
        rows = [row for row in map(self.shelf.row, self.shelf.names()) if row.campaign == opened.campaign.id]
        return self._page("campaign.html", campaign=opened.campaign, rows=rows, html=html, place=f"{place}/report")

    def campaign_file(self, request: Request) -> Response:
        """Give a campaign's report as a file."""
        return self._file(documents.morning_report(find_campaign(self.home, request.path_params["id"])), request)

    def campaign_figure(self, request: Request) -> Response:
        """Give a figure of a campaign's report."""
        return _figure(documents.morning_report(find_campaign(self.home, request.path_params["id"])).figures, request)

    def charts_library(self, request: Request) -> Response:
        """Give the charts' script, from the wheel that it comes in; its address has the wheel's version."""
        file = files("plotly") / "package_data" / "plotly.min.js"
        headers = {"Cache-Control": "private, max-age=31536000, immutable"}
        return FileResponse(Path(str(file)), media_type="text/javascript", headers=headers)

    def failed(self, request: Request, error: Exception) -> Response:
        """Say what went wrong, and what to do."""
        status = HTTPStatus.NOT_FOUND if isinstance(error, SessionError) else HTTPStatus.INTERNAL_SERVER_ERROR
        told, name = str(error), request.path_params.get("id", "")
        if isinstance(error, JournalDamaged):
            told = f"{told} circle resume {name} says which step still stands, and how to go on from it."
        return self._page("error.html", status, sentence=told, session=self._session(name))

    def broken(self, request: Request, error: Exception) -> Response:
        """Say that the page has a mistake; the trace is on the terminal of circle serve."""
        told = f"The page made a mistake, {type(error).__name__}: the terminal of circle serve says where."
        return self._page("error.html", HTTPStatus.INTERNAL_SERVER_ERROR, sentence=told, session=None)

    def missing(self, request: Request, error: Exception) -> Response:
        """Say that there is no such page."""
        return self._page("error.html", HTTPStatus.NOT_FOUND, sentence="There is no such page here.", session=None)

    def _opened(self, request: Request) -> Opened:
        opened = self.home.find(request.path_params["id"])
        if (opened.folder / CHECKPOINTS).exists() and not (opened.folder / "journal.sqlite").exists():
            raise JournalDamaged(f"The journal of session {opened.session.id} is gone: what it has done is not known.")
        return opened

    def _session(self, name: str) -> Session | None:
        """The session that a page was asked for, if there is one: what cannot be shown is one of its pages."""
        try:
            return self.home.find(name).session if name else None
        except SessionError:
            return None

    def _has_forks(self, opened: Opened) -> bool:
        return any(self.shelf.row(name).parent == opened.session.id for name in self.shelf.names())

    def _trouble(self) -> str:
        """What keeps sessions from being started here, in a sentence."""
        try:
            load_target(self.home.target)
            self.home.workspace.head()
        except CircleError as error:
            return str(error)
        return ""

    def _presets(self) -> tuple[str, ...]:
        """The target's scales, its default first; none where circle.toml cannot be read."""
        try:
            target = load_target(self.home.target)
        except CircleError:
            return ()
        return (target.preset, *(name for name in target.presets if name != target.preset))

    def _file(self, document: documents.Document, request: Request) -> Response:
        """A document to take away: its Markdown, that with its figures beside it, or HTML with them in it."""
        kind = request.path_params["kind"]
        headers = _attached(f"{document.name}.{kind}")
        if kind == "md":
            return PlainTextResponse(document.text, headers=headers)
        if kind == "zip":
            return Response(document.archive(), media_type="application/zip", headers=headers)
        if kind == "html":
            template = self._environment.get_template("paper.html")
            return HTMLResponse(template.render(title=document.title, html=document.html()), headers=headers)
        raise SessionError(f"A report is had as md, zip or html, not as {kind!r}.")

    def _page(self, template: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> Response:
        return HTMLResponse(self._environment.get_template(template).render(values), status)

    @cached_property
    def style(self) -> str:
        """The style sheet, which every page has in it: a page that has to ask for it is painted 40 ms later."""
        return (HERE / "static" / "page.css").read_text(encoding="utf-8")

    @cached_property
    def _environment(self) -> Environment:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            finalize=_finalized,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {
            "ago": ago,
            "duration": duration,
            "number": number,
            "signed": signed,
            "span": span,
            "words": status_words,
        }
        environment.globals |= {
            "word": self.word,
            "target": self.home.target.name,
            "charts": version("plotly"),
            "style": self.style,
        }
        return environment


ERRORS: Mapping[type[Exception], str] = {
    CircleError: "failed",
    sqlite3.Error: "failed",
    OSError: "failed",
    Exception: "broken",
}


def _view(opened: Opened) -> DiffView:
    """The newest diff from git; where its commit is not there, of a session from elsewhere, as it is on record."""
    try:
        return view_of(opened)
    except TargetError:
        version, patch = newest_patch(opened)
        with opened.journal() as journal:
            recorded = journal.find("diff", f"{opened.session.base} {patch.commit}")
        if recorded is None:
            raise
        return DiffView(opened.session.id, version, recorded.encode("latin-1"), waits=False)


def _finalized(value: Any) -> Any:
    """What a template puts into a page: of text that may be anyone's nothing acts or hides."""
    return visible(value) if type(value) is str else value


def _graph() -> Any:
    from agents.web.picture import picture

    return picture()


def _figure(figures: Mapping[str, Callable[[], str]], request: Request) -> Response:
    name = request.path_params["name"]
    if name not in figures:
        raise SessionError(f"There is no figure {name!r}.")
    return Response(figures[name](), media_type="image/svg+xml", headers={"Content-Security-Policy": _FIGURE_POLICY})


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _address(wanted: Wanted, **other: Any) -> str:
    """The address of the same list with something else asked for."""
    asked = {"words": wanted.words, "status": wanted.status, "order": wanted.order, "page": 1} | other
    plain = {"words": "", "status": "", "order": NEWEST_FIRST, "page": 1}
    return "/?" + urlencode({name: value for name, value in asked.items() if value != plain[name]})


def _attached(name: str) -> dict[str, str]:
    safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-._") else "-" for letter in name)
    return {"Content-Disposition": f'attachment; filename="{safe}"'}
