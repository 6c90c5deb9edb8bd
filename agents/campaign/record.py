"""The campaigns of a target on disk: what each is about, and the record of what was decided.

.circle/campaigns/<id>/campaign.json   what the campaign is about; never changes
                       journal.sqlite  every decision, once: sessions, confirmations, wins, the end
                       report.md       what was tried, what holds, what it cost, what next
"""

from __future__ import annotations

import fcntl
import getpass
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agents.campaign.ideas import Entry
from agents.errors import SessionError, UsageError
from agents.journal import Journal
from agents.records import Flag, Record
from agents.sealed import SealBroken, read_sealed, write_sealed
from agents.session import Home, Options, now
from agents.statistics import confirmations_within


class Campaign(Record):
    """What a campaign is about; fixed when it starts.

    `error` is how often a night of useless ideas may claim a win, and `confirmations` how many it buys: all sessions
    share them; so many ideas are screened `at_once`. `origin` is the person's commit that the night starts from, and
    `author` who brought the diffs in `entries`.
    """

    id: str
    started_at: str
    origin: str
    researcher: str
    author: str
    entries: tuple[Entry, ...]
    options: Options
    secret: str
    hours: float
    error: float
    confirmations: int
    at_once: int = 1


class Win(Record):
    """A win of the night, as it was confirmed on the baseline that it found; `flags` are its own."""

    session: str
    title: str
    branch: str
    commit: str
    flags: tuple[Flag, ...]
    effect: float
    ci: tuple[float, float]


@dataclass(frozen=True)
class OpenCampaign:
    """A campaign that lies in a target's `.circle`."""

    home: Home
    campaign: Campaign

    @property
    def folder(self) -> Path:
        """The campaign's own folder."""
        return place(self.home, self.campaign.id)

    @cached_property
    def journal(self) -> Journal:
        """What was decided, and what the campaign trained itself."""
        return Journal(self.folder / "journal.sqlite")

    def bodies(self, kind: str) -> list[Any]:
        """Return what is on record of a kind, in order."""
        return [body for _, found, body in self.journal.entries() if found == kind]

    def wins(self) -> list[Win]:
        """Return the wins so far, oldest first."""
        return [Win.model_validate(body) for body in self.bodies("win")]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the campaign; raise SessionError if another process does."""
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SessionError(f"Campaign {self.campaign.id} is being run by another process.") from None
            yield


def place(home: Home, name: str) -> Path:
    """Return the folder of a campaign."""
    return home.folder / "campaigns" / name


def start_campaign(
    home: Home,
    entries: tuple[Entry, ...],
    researcher: str,
    options: Options,
    hours: float,
    error: float,
    at_once: int = 1,
) -> OpenCampaign:
    """Make a campaign's folder and record; raise UsageError if the error budget buys no confirmation."""
    confirmations = confirmations_within(error, options.confidence)
    if confirmations < 1:
        raise UsageError(f"--error {error:g} buys no confirmation: one alone has a larger share of false wins.")
    home.prepare()
    campaign = Campaign(
        id=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        started_at=now(),
        origin=home.workspace.head(),
        researcher=researcher,
        author=getpass.getuser(),
        entries=entries,
        options=options,
        secret=options.secret or secrets.token_hex(16),
        hours=hours,
        error=error,
        confirmations=confirmations,
        at_once=at_once,
    )
    opened = OpenCampaign(home, campaign)
    opened.folder.mkdir(parents=True)
    write_sealed(opened.folder / "campaign.json", campaign.model_dump(mode="json"))
    return opened


def find_campaign(home: Home, name: str) -> OpenCampaign:
    """Return a campaign by its id; raise SessionError if there is none that can be read."""
    file = place(home, name) / "campaign.json"
    try:
        return OpenCampaign(home, Campaign.model_validate(read_sealed(file)))
    except (SealBroken, ValidationError):
        raise SessionError(f"Campaign {name!r} cannot be read: {file} is damaged, or of another version.") from None
    except (OSError, ValueError):  # a name with a NUL is a ValueError
        raise SessionError(f"There is no campaign {name!r} in {home.folder}.") from None
