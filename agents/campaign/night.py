"""The loop of a campaign. What is done next follows from what is on record, so a killed night goes on where it was.

1. Every idea's first version goes as far as its screen, and is held there.
2. The scarce confirmations go to those that are held, the surest screen first.
3. A win is the next baseline: its code is in the base and its flags are on in both arms of whatever comes after. What
   was promising is screened again on top of it; an idea that failed goes on with its next version.
4. Where nothing is held, the ideas that failed are revised, in the order of the queue; at last, gains that were too
   small to be proved one by one are judged as one bundle.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

from agents.budget import confirmation_runs, screening_runs
from agents.campaign.bundle import Bundle, bundle_of, unproved
from agents.campaign.ideas import Entry
from agents.campaign.record import OpenCampaign, Win
from agents.campaign.stack import STACK_PAIRS, measure_stack
from agents.drive import drive
from agents.errors import BaselineRefused, CircleError, DiffRefused, Interrupted, SandboxMissing, UsageError
from agents.journal import Journal
from agents.nodes.hold import DROP, GO_ON
from agents.notify import Notifier
from agents.ports import Reporter
from agents.records import Budget, Flag, Tried
from agents.session import Held, Opened, Place, Status, load_committed_target, start
from agents.settings import Target
from agents.state import current

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
    def waits(self) -> bool:
        """Whether it is another's turn: a person's to approve, or a process's that follows an approval."""
        return self.status in ("awaiting_approval", "running")


@dataclass
class Night:
    """A campaign while it is being worked on."""

    opened: OpenCampaign
    report: Reporter
    notify: Notifier
    spent: str = ""
    _known: dict[str, tuple[Status, Held | None]] = field(default_factory=dict)

    def run(self) -> None:
        """Work until nothing is left to do, nothing can be afforded, or all that is left waits for a person.

        Raises:
            Interrupted: a person or a signal asked to stop; the campaign resumes where it was.
            BaselineRefused, SandboxMissing: no idea could be judged here.
        """
        if self._journal.find("end", "") is not None:
            return
        with self.opened.locked():
            while self._step():
                self.spent = ""
            self._close()

    def seats(self) -> list[Seat]:
        """Return the ideas on the present baseline, in the order of the queue, and the bundle at the end."""
        number = len(self.opened.wins())
        names = self._journal.find("round", str(number))
        everything = [str(index) for index in range(len(self.opened.campaign.entries))]
        found = [self._seat(number, name) for name in (everything if names is None else names)]
        bundled = self._journal.find(BUNDLE, str(number))
        return [*found, self._seat(number, BUNDLE)] if bundled and bundled["members"] else found

    def _step(self) -> bool:
        """Do the first thing that is to be done; False if there is none."""
        seats = self.seats()
        if won := next((seat for seat in seats if seat.status == "victory"), None):
            self._stack(won, seats)
            return True
        for seat in seats:
            if seat.status == "stopped" and (seat.held is None or self._answer(seat)):
                self._drive(seat, self._answer(seat))
                return True
        if fresh := next((seat for seat in seats if seat.status is None and not seat.refused), None):
            return self._affords(screening_runs(any(seat.opened for seat in seats))) and self._start(fresh)
        held = [seat for seat in seats if seat.held]
        if held and self._journal.count("release") >= self.opened.campaign.confirmations:
            self.spent = f"All {self.opened.campaign.confirmations} confirmations of the night are used."
            return False
        if turns := [seat for seat in held if seat.held and seat.held.held == "confirmation"]:
            return self._release(max(turns, key=lambda seat: (seat.held and seat.held.t) or 0.0))
        if held:
            return self._affords(screening_runs(floor=True)) and self._go_on(held[0])
        return not any(seat.waits for seat in seats) and self._bundle(seats)

    def _start(self, seat: Seat) -> bool:
        """Start an idea's session on the present baseline; what cannot be started is on record with the reason."""
        number, entry = len(self.opened.wins()), seat.entry
        key = f"{number} {seat.name}"

        def begin() -> dict[str, str]:
            try:
                return {"session": self._begin(key, seat).session.id}
            except (UsageError, DiffRefused) as error:
                return {"refused": str(error)}

        body = self._journal.once("session", key, begin)
        self._say(
            f"{entry.text}: session {body['session']}" if "session" in body else f"{entry.text}: {body['refused']}"
        )
        if "session" in body:
            self._drive(self._seat(number, seat.name))
        return True

    def _begin(self, key: str, seat: Seat) -> Opened:
        from agents.brought import plan_of
        from agents.researchers import open_researcher
        from agents.researchers.nobody import Nobody

        campaign, home, entry = self.opened.campaign, self.opened.home, seat.entry
        secret = hmac.new(bytes.fromhex(campaign.secret), key.encode(), hashlib.sha256).hexdigest()[:32]
        options = replace(campaign.options, secret=secret, budget=self._left())
        place = Place(campaign.id, campaign.origin, self._base, self._standing, self._failures(seat.name))
        if seat.name == BUNDLE:
            made = Bundle.model_validate(self._journal.find(BUNDLE, str(len(self.opened.wins()))))
            return start(home, made.plan.title, Nobody(), options, (made.diff, made.plan), place=place)
        if not entry.flags:
            return start(home, entry.text, open_researcher(campaign.researcher), options, place=place)
        flags = self._target.flags.file
        diff = home.workspace.carry(entry.diff, campaign.origin, self._base, lambda path: path == flags)
        plan = plan_of(home, diff, entry.flags, entry.text, entry.ablations, self._base)
        return start(home, entry.text, Nobody(), options, (diff, plan), campaign.author, place)

    def _left(self) -> Budget:
        """What is left of the night's limits: no session may use more, whatever its steps were expected to take."""
        budget, (used, seconds) = self.opened.campaign.options.budget, self.cost()
        hours = max(0.0, self.opened.campaign.hours - seconds / 3600)
        return budget.model_copy(update={"max_runs": self._limit and self._limit - used, "max_hours": hours})

    def _release(self, seat: Seat) -> bool:
        """Give a held version one of the night's confirmations."""
        assert seat.opened and seat.held
        campaign, used = self.opened.campaign, self._journal.count("release")
        plan = current(seat.opened.state()).plan
        runs = confirmation_runs(campaign.options.confidence, len(plan.ablations), len(campaign.options.scales))
        if not self._affords(runs):
            return False
        self._journal.once("release", self._key(seat), lambda: {"t": seat.held and seat.held.t})
        self._say(f"confirmation {used + 1} of {campaign.confirmations} goes to {plan.title}")
        return self._go_on(seat)

    def _go_on(self, seat: Seat, word: str = GO_ON) -> bool:
        assert seat.opened
        if word == DROP:
            self._journal.once("dropped", seat.opened.session.id, lambda: True)
        self._drive(seat, self._journal.once("answer", self._key(seat), lambda: word))
        return True

    def _drive(self, seat: Seat, answer: str | None = None) -> None:
        """Drive a session to where it is held, waits or ends; an error of its own ends it alone."""
        assert seat.opened
        name, here = seat.opened.session.id, self.opened.campaign.id
        self._known.pop(name, None)
        try:
            with self._timed():
                drive(seat.opened, self.report, answer)
        except Interrupted:
            raise Interrupted(f"Campaign {here} has stopped; circle campaign --resume {here} goes on.") from None
        except CircleError as error:
            if isinstance(error, SandboxMissing) or (isinstance(error, BaselineRefused) and not self._has_a_floor()):
                raise
            reason = str(error)
            self._journal.once("broken", name, lambda: reason)
        self._tell_if_waiting(seat)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            seconds = round(time.monotonic() - begun, 3)
            self._journal.once("step", str(self._journal.count("step")), lambda: seconds)

    def _has_a_floor(self) -> bool:
        """Whether any baseline of the night carries verdicts: without one, no other idea would fare better."""
        return any(opened.state().get("baseline") for opened in self.sessions())

    def _tell_if_waiting(self, seat: Seat) -> None:
        assert seat.opened
        if seat.opened.standing() != "awaiting_approval":
            return
        name = seat.opened.session.id
        key = f"{name} v{current(seat.opened.state()).n}"
        if self._journal.find("told", key) is None:
            self.notify("approval", f"{seat.entry.text} waits for your approval.", name)
            self._journal.once("told", key, lambda: True)

    def _stack(self, won: Seat, seats: list[Seat]) -> None:
        """Make a win the next baseline: what is held on the old one is dropped, and decided anew on top of the win."""
        assert won.opened
        for seat in seats:
            if seat.held:
                self._go_on(seat, DROP)
        number, state = len(self.opened.wins()), won.opened.state()
        names = [seat.name for seat in self.seats() if seat is not won and self._comes_again(seat)]
        self._journal.once("round", str(number + 1), lambda: names)
        victory, version = state["victory"], current(state)
        assert victory is not None and version.patch is not None
        win = Win(
            session=won.opened.session.id,
            title=version.plan.title,
            branch=victory["branch"],
            commit=version.patch.commit,
            flags=version.plan.flags,
            effect=victory["effect"],
            ci=victory["ci"],
        )
        self._journal.once("win", win.session, lambda: win.model_dump(mode="json"))
        self._say(f"{win.title} is on in both arms from now on; ideas that come again: {len(names)}")
        self.notify("victory", f"{win.title}: {win.effect:+.4g}.", win.session)

    def _comes_again(self, seat: Seat) -> bool:
        """Whether an idea is tried on top of a win: it waited, was held, or had not been started."""
        if seat.name == BUNDLE or seat.refused or seat.status == "victory":
            return False
        if seat.opened is None or seat.waits:
            return True
        if not self._journal.find("dropped", seat.opened.session.id):
            return False
        return not seat.entry.flags or all(old.outcome == "inconclusive" for old in seat.opened.summary().tried)

    def _bundle(self, seats: list[Seat]) -> bool:
        """Put the gains that were not proved one by one together, if there are two that apply together."""
        campaign, number = self.opened.campaign, str(len(self.opened.wins()))
        if self._journal.find(BUNDLE, number) is not None:
            return False
        found = [member for seat in seats if seat.opened and (member := unproved(seat.opened))]
        runs = screening_runs(floor=True) + confirmation_runs(campaign.options.confidence, len(found), 0)
        if len(found) < 2 or self._journal.count("release") >= campaign.confirmations or not self._affords(runs):
            return False
        made = bundle_of(self.opened.home.workspace, self._target, self._base, found)
        self._journal.once(BUNDLE, number, lambda: made.model_dump(mode="json"))
        for title, why in made.left_out.items():
            self._say(f"not in the bundle: {title} ({why})")
        return bool(made.members)

    def _close(self) -> None:
        """End the night, unless something that could still be afforded waits for a person; keep what was won."""
        seats, wins, home = self.seats(), self.opened.wins(), self.opened.home
        if self.spent or not any(seat.waits for seat in seats):
            for seat in seats:
                if seat.held:
                    self._go_on(seat, DROP)
            with self._timed():
                stacked = None if self._lacks(2 * STACK_PAIRS) else measure_stack(self.opened, wins, self.report)
            ending = {"spent": self.spent, "stacked": stacked and stacked.model_dump(mode="json")}
            self._journal.once("end", "", lambda: ending)
            self.notify("end", f"{len(wins)} wins; circle campaign --resume {self.opened.campaign.id}", "")
        if wins:
            home.workspace.keep(self.branch, wins[-1].commit)

    def _affords(self, runs: int) -> bool:
        """Whether so many runs fit into the night, beside those that tell what its wins are worth together."""
        self.spent = self._lacks(runs + (2 * STACK_PAIRS if len(self.opened.wins()) > 1 else 0))
        return not self.spent

    def _lacks(self, runs: int) -> str:
        """Say in a sentence which limit of the night has no room for so many runs; empty if all have."""
        limit, hours, (used, seconds) = self._limit, self.opened.campaign.hours, self.cost()
        each = seconds / used if used else self._target.scale(self._preset).seconds
        if limit is not None and used + runs > limit:
            return f"{used} of {limit} runs are used, and the next step may take {runs}."
        if seconds + runs * each > hours * 3600:
            next_ = f"the next step may take {runs * each / 3600:.2f}"
            return f"{seconds / 3600:.2f} of {hours:g} hours are used, and {next_}."
        return ""

    def cost(self) -> tuple[int, float]:
        """Return the runs that the night has trained, and the seconds that it has worked."""
        folders = [found.folder for found in self.sessions()]
        runs = self._journal.count("run")
        for folder in folders:
            if (folder / "journal.sqlite").exists():
                journal = Journal(folder / "journal.sqlite")
                runs += journal.count("run")
                journal.close()
        return runs, sum(self.opened.bodies("step"))

    def sessions(self) -> list[Opened]:
        """Return all sessions of the night, in the order in which they were started."""
        return [self.opened.home.find(body["session"]) for body in self.opened.bodies("session") if "session" in body]

    def _seat(self, number: int, name: str) -> Seat:
        campaign = self.opened.campaign
        entry = Entry(text="The bundle") if name == BUNDLE else campaign.entries[int(name)]
        body = self._journal.find("session", f"{number} {name}")
        if body is None or "refused" in body:
            return Seat(name, entry, refused=body["refused"] if body else "")
        opened = self.opened.home.find(body["session"])
        broken = self._journal.find("broken", opened.session.id)
        if broken is not None:
            return Seat(name, entry, opened, "failed", refused=broken)
        return Seat(name, entry, opened, *self._look(opened))

    def _look(self, opened: Opened) -> tuple[Status, Held | None]:
        """How a session stands; what nobody else can change is not asked twice."""
        known = self._known.get(opened.session.id)
        if known is None:
            status = opened.status()
            known = ("stopped" if status == "failed" else status), opened.held()
            if known[1] or status in ("victory", "concluded"):
                self._known[opened.session.id] = known
        return known

    def _failures(self, name: str) -> tuple[Tried, ...]:
        """What the night has judged of an idea on earlier baselines, and need not try again on a new one."""
        keys = [f"{number} {name}" for number in range(len(self.opened.wins()))]
        bodies = [self._journal.find("session", key) or {} for key in keys]
        found = [self.opened.home.find(body["session"]) for body in bodies if "session" in body]
        tried = (old for opened in found for old in opened.summary().tried)
        return tuple(old for old in tried if old.outcome in ("loss", "invalid"))

    def _answer(self, seat: Seat) -> str | None:
        answer = self._journal.find("answer", self._key(seat)) if seat.held else None
        return None if answer is None else str(answer)

    def _key(self, seat: Seat) -> str:
        assert seat.opened and seat.held
        return f"{seat.opened.session.id} v{seat.held.version} {seat.held.held}"

    def _say(self, text: str) -> None:
        self.report("campaign", text=text)

    @property
    def branch(self) -> str:
        """The branch that has the code of all wins."""
        return f"circle/campaign-{self.opened.campaign.id}"

    @property
    def _journal(self) -> Journal:
        return self.opened.journal

    @property
    def _base(self) -> str:
        wins = self.opened.wins()
        return wins[-1].commit if wins else self.opened.campaign.origin

    @property
    def _standing(self) -> tuple[Flag, ...]:
        return standing(self.opened.wins())

    @cached_property
    def _target(self) -> Target:
        return load_committed_target(self.opened.home.workspace, self.opened.campaign.origin)

    @property
    def _limit(self) -> int | None:
        return self.opened.campaign.options.budget.max_runs

    @property
    def _preset(self) -> str:
        return self.opened.campaign.options.preset or self._target.preset


def standing(wins: list[Win]) -> tuple[Flag, ...]:
    """Return the flags of all wins; a later one replaces an earlier one of its name."""
    return tuple({flag.name: flag for win in wins for flag in win.flags}.values())
