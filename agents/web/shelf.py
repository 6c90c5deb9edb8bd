"""The sessions and campaigns of a target as rows of a table, read again only where a file of theirs has changed."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.campaign.record import find_campaign
from agents.errors import CircleError, SessionError
from agents.records import Record, Spend
from agents.session import LOCK, Home, Opened, Status, Summary, is_held
from agents.web.spending import spent

Stamp = tuple[int, ...]
_FILES = ("session.json", "summary.json", "journal.sqlite", "journal.sqlite-wal")
NEWEST_FIRST = "-started"
EVERY_ROW = "-effect"
"""An order of the list for which each session has to be read."""
STATUSES = ("running", "awaiting_approval", "victory", "concluded", "stopped", "failed", "unreadable")


class Row(Record):
    """A session in a list; `effect` is the best of its versions, with its interval where there is one."""

    id: str
    started_at: str = ""
    idea: str = ""
    status: str = "unreadable"
    campaign: str = ""
    parent: str = ""
    versions: int = 0
    effect: float | None = None
    ci: tuple[float, float] | None = None
    proved: bool = False
    spend: Spend | None = None
    error: str = ""


class CampaignRow(Record):
    """A campaign in a list; `effect` is its largest win's."""

    id: str
    started_at: str = ""
    ideas: int = 0
    status: str = "unreadable"
    wins: int = 0
    effect: float | None = None
    ci: tuple[float, float] | None = None
    seconds: float | None = None
    error: str = ""


@dataclass(frozen=True)
class Wanted:
    """What a person asked the list for: words, a status, an order (with a - in front: the largest first), a page."""

    words: str = ""
    status: str = ""
    order: str = NEWEST_FIRST
    page: int = 1


@dataclass(frozen=True)
class Found:
    """The rows of one page, how many match and how many there are; a page beyond the last is the last."""

    rows: tuple[Row, ...]
    matching: int
    total: int
    page: int
    pages: int


class Shelf:
    """The rows of a target; what was read is kept while the files are the same."""

    def __init__(self, home: Home, page_rows: int = 20) -> None:
        self._home, self._sessions, self._page_rows = home, home.folder / "sessions", page_rows
        self._known: dict[str, tuple[Stamp, Row]] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Return the sessions' ids, newest first."""
        if not self._sessions.is_dir():
            return []
        with os.scandir(self._sessions) as found:
            return sorted((file.name for file in found if file.is_dir()), reverse=True)

    def row(self, name: str) -> Row:
        """Return a session's row."""
        folder = f"{self._sessions}/{name}"
        stamp = _stamp(folder)
        with self._lock:
            known = self._known.get(name)
        if known and known[0] == stamp and not is_held(Path(folder, LOCK)):
            return known[1]
        row = _read(self._home, name)
        with self._lock:
            self._known[name] = (stamp, row)
        return row

    def find(self, wanted: Wanted) -> Found:
        """Return the page of rows that a person asked for; only that page is read where nothing else is needed."""
        names = self.names()
        as_they_are = not wanted.words and not wanted.status and wanted.order == NEWEST_FIRST
        found = names if as_they_are else self._ordered(names, wanted)
        pages = max(1, -(-len(found) // self._page_rows))
        page = min(wanted.page, pages)
        shown = found[(page - 1) * self._page_rows : page * self._page_rows]
        return Found(tuple(map(self.row, shown)), len(found), len(names), page, pages)

    def _ordered(self, names: Sequence[str], wanted: Wanted) -> list[str]:
        rows = sorted(filter(_matcher(wanted), map(self.row, names)), key=_order(wanted.order).key)
        return [row.id for row in (reversed(rows) if wanted.order.startswith("-") else rows)]

    def campaigns(self) -> list[CampaignRow]:
        """Return the campaigns, newest first."""
        folder = self._home.folder / "campaigns"
        names = sorted((file.parent.name for file in folder.glob("*/campaign.json")), reverse=True)
        return [_read_campaign(self._home, name) for name in names]


def _read_campaign(home: Home, name: str) -> CampaignRow:
    try:
        opened = find_campaign(home, name)
        wins, ended, seconds = opened.wins(), bool(opened.bodies("end")), sum(opened.bodies("step"))
    except (CircleError, sqlite3.Error) as error:
        return CampaignRow(id=name, error=str(error))
    best = max(wins, key=lambda win: win.effect, default=None)
    running = is_held(opened.folder / LOCK)
    return CampaignRow(
        id=name,
        started_at=opened.campaign.started_at,
        ideas=len(opened.campaign.entries),
        status="running" if running else "concluded" if ended and not wins else "victory" if ended else "stopped",
        wins=len(wins),
        effect=best.effect if best else None,
        ci=best.ci if best else None,
        seconds=seconds,
    )


def _read(home: Home, name: str) -> Row:
    try:
        opened = home.find(name)
        status = _status(opened)
    except (CircleError, sqlite3.Error) as error:
        return Row(id=name, error=str(error))
    session, summary = opened.session, opened.summary()
    if summary.spend is None or status in ("running", "stopped"):
        with contextlib.suppress(CircleError, sqlite3.Error):
            summary = opened.summed_up(status)
            summary = summary.model_copy(update={"spend": summary.spend and spent(opened, summary.spend)})
    best = summary.best
    return Row(
        id=name,
        started_at=session.started_at,
        idea=session.idea.text,
        status=status,
        campaign=session.campaign,
        parent=session.parent,
        versions=summary.versions,
        effect=best.gained if best else None,
        ci=best.ci if best else None,
        proved=best is not None and best.outcome == "win" and best.effect is not None,
        spend=summary.spend,
    )


def _status(opened: Opened) -> Status:
    """How a session stands: by its summary, where that was written after the newest entry of its journal."""
    summary, journal = opened.folder / "summary.json", opened.folder / "journal.sqlite"
    files = [file for file in (journal, journal.with_name("journal.sqlite-wal")) if file.exists()]
    newest = max((file.stat().st_mtime_ns for file in files), default=0)
    if opened.is_busy or not summary.exists() or summary.stat().st_mtime_ns < newest:
        return opened.status()
    found: Summary = opened.summary()
    return "failed" if found.error and found.status == "stopped" else found.status


def _stamp(folder: str) -> Stamp:
    return tuple(_stamps(folder))


def _stamps(folder: str) -> Iterator[int]:
    for name in _FILES:
        try:
            found = os.stat(f"{folder}/{name}")  # noqa: PTH116 - four thousand of them, and Path takes twice the time
        except OSError:
            yield 0
        else:
            yield found.st_mtime_ns
            yield found.st_size


def _matcher(wanted: Wanted) -> Callable[[Row], bool]:
    words = wanted.words.lower().split()

    def matches(row: Row) -> bool:
        text = f"{row.id} {row.idea} {row.campaign} {row.status}".lower()
        return (not wanted.status or row.status == wanted.status) and all(word in text for word in words)

    return matches


@dataclass(frozen=True)
class Order:
    """What rows are put in order by, and how a person says its two directions; who has none of it comes lowest."""

    key: Callable[[Row], Any]
    rising: str
    falling: str


ORDERS: Mapping[str, Order] = {
    "started": Order(lambda row: (row.started_at, row.id), "oldest first", "newest first"),
    "effect": Order(
        lambda row: float("-inf") if row.effect is None else row.effect, "smallest effect first", "largest effect first"
    ),
    "idea": Order(lambda row: row.idea.lower(), "ideas from A to Z", "ideas from Z to A"),
    "status": Order(lambda row: row.status, "by status", "by status, backwards"),
    "versions": Order(lambda row: row.versions, "fewest versions first", "most versions first"),
    "spent": Order(
        lambda row: (row.spend.usd, row.spend.runs) if row.spend else (-1.0, -1),
        "least spent first",
        "most spent first",
    ),
    "time": Order(lambda row: row.spend.wall_seconds if row.spend else -1.0, "shortest first", "longest first"),
}


def _order(name: str) -> Order:
    try:
        return ORDERS[name.removeprefix("-")]
    except KeyError:
        raise SessionError(f"Sessions are not ordered by {name!r}, but by {', '.join(ORDERS)}.") from None
