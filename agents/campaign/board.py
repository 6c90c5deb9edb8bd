"""How the ideas of a campaign stand on the present baseline, read from what is on record."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from agents.campaign.ideas import Entry
from agents.campaign.record import OpenCampaign, find_campaign
from agents.errors import SessionError
from agents.journal import Journal
from agents.ledger import used
from agents.records import Flag, Tried, Usage
from agents.session import Held, Opened, Status, load_committed_target
from agents.settings import Target

BUNDLE = "bundle"


@dataclass(frozen=True)
class Seat:
    """An idea on the present baseline: not started yet, or its session and how that stands, or why it has none."""

    name: str
    entry: Entry
    opened: Opened | None = None
    status: Status | None = None
    held: Held | None = None
    refused: str = ""

    @property
    def fresh(self) -> bool:
        """Whether it is still to be started."""
        return self.opened is None and not self.refused

    @property
    def waits(self) -> bool:
        """Whether it is another's turn: a person's to approve, or a process's that follows an approval."""
        return self.status in ("awaiting_approval", "running")

    @property
    def key(self) -> str:
        """The name of what it is held before: answered once."""
        assert self.opened and self.held
        return f"{self.opened.session.id} v{self.held.version} {self.held.held}"


@dataclass
class Board:
    """What a campaign's record says; it decides nothing and changes nothing."""

    opened: OpenCampaign
    _known: dict[str, tuple[Status, Held | None]] = field(default_factory=dict)

    def seats(self) -> list[Seat]:
        """Return the bundle if there is one, and the ideas on the present baseline in the order of the queue."""
        names = self.journal.find("round", str(self.round))
        everything = [str(index) for index in range(len(self.opened.campaign.entries))]
        found = [self.seat(name) for name in (everything if names is None else names)]
        bundled = self.journal.find(BUNDLE, str(self.round))
        return [self.seat(BUNDLE), *found] if bundled and bundled["members"] else found

    def seat(self, name: str, number: int | None = None) -> Seat:
        """Return how an idea, by its number in the queue, or the bundle stands on the present or another baseline."""
        entry = Entry(text="The bundle") if name == BUNDLE else self.opened.campaign.entries[int(name)]
        body = self.journal.find("session", f"{self.round if number is None else number} {name}")
        if body is None or "refused" in body:
            return Seat(name, entry, refused=body["refused"] if body else "")
        try:
            opened = self.opened.home.find(body["session"])
        except SessionError as damaged:
            return Seat(name, entry, refused=str(damaged))
        broken = self.journal.find("broken", opened.session.id)
        if broken is not None:
            return Seat(name, entry, opened, "failed", refused=broken)
        return Seat(name, entry, opened, *self._look(opened))

    def forget(self, opened: Opened) -> None:
        """Look at a session anew when it is asked for next."""
        self._known.pop(opened.session.id, None)

    def answer(self, seat: Seat) -> str | None:
        """Return what is on record as the answer to what a seat is held before."""
        return self.journal.find("answer", seat.key) if seat.held else None

    def failures(self, name: str) -> tuple[Tried, ...]:
        """What the night has judged of an idea on earlier baselines, and need not try again on a new one."""
        seats = (self.seat(name, number) for number in range(self.round))
        tried = (old for seat in seats if seat.opened for old in seat.opened.summary().tried)
        return tuple(old for old in tried if old.outcome in ("loss", "invalid"))

    def sessions(self) -> list[Opened]:
        """Return all sessions of the night that can be read, in the order in which they were started."""
        found = []
        for body in (body for body in self.opened.bodies("session") if "session" in body):
            with suppress(SessionError):
                found.append(self.opened.home.find(body["session"]))
        return found

    def cost(self) -> tuple[int, float]:
        """Return the runs that the night has trained, and the seconds that it has worked."""
        files = [opened.folder / "journal.sqlite" for opened in self.sessions()]
        runs = self.journal.count("run") + sum(_runs(Journal(file)) for file in files if file.exists())
        return runs, sum(self.opened.bodies("step"))

    def usage(self) -> Usage:
        """Return what the night's model calls have used."""
        files = [opened.folder / "journal.sqlite" for opened in self.sessions()]
        return sum((used(Journal(file)) for file in files if file.exists()), start=Usage())

    @property
    def journal(self) -> Journal:
        """The campaign's record."""
        return self.opened.journal

    @property
    def round(self) -> int:
        """How many wins the present baseline has in it."""
        return self.journal.count("win")

    @property
    def confirmations_left(self) -> int:
        """What is left of the night's error budget."""
        return self.opened.campaign.confirmations - self.journal.count("release")

    @property
    def base(self) -> str:
        """The commit of the present baseline."""
        wins = self.opened.wins()
        return wins[-1].commit if wins else self.opened.campaign.origin

    @property
    def standing(self) -> tuple[Flag, ...]:
        """The flags of all wins; a later one replaces an earlier one of its name."""
        return tuple({flag.name: flag for win in self.opened.wins() for flag in win.flags}.values())

    @property
    def branch(self) -> str:
        """The branch that has the code of all wins."""
        return f"circle/campaign-{self.opened.campaign.id}"

    @cached_property
    def target(self) -> Target:
        """The circle.toml of the person's commit."""
        return load_committed_target(self.opened.home.workspace, self.opened.campaign.origin)

    def _look(self, opened: Opened) -> tuple[Status, Held | None]:
        """How a session stands; what nobody else can change is not asked twice."""
        known = self._known.get(opened.session.id)
        if known is None:
            status = opened.status()
            known = ("stopped" if status == "failed" else status), opened.held()
            if known[1] or status in ("victory", "concluded"):
                self._known[opened.session.id] = known
        return known


def check_current(opened: Opened) -> None:
    """Raise SessionError if a session's campaign has won since, so that nobody approves what is not gone on with."""
    name = opened.session.campaign
    if not name or opened.status() in ("victory", "concluded"):
        return
    if Board(find_campaign(opened.home, name)).base != opened.session.base:
        raise SessionError(
            f"Campaign {name} has a win since and judges this idea on top of it, in a session of its own: "
            f"circle campaign --resume {name} goes on, and says which one waits."
        )


def _runs(journal: Journal) -> int:
    """Return how many runs a session has trained, and close its record."""
    try:
        return journal.count("run")
    finally:
        journal.close()
