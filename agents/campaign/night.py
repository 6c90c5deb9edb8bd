"""The loop of a campaign. What is done next follows from what is on record, so a killed night goes on where it was.

1. Every idea's first version goes as far as its screen, and is held there.
2. The scarce confirmations go to those that are held, the surest screen first.
3. A win is the next baseline: its code is in the base and its flags are on in both arms of whatever comes after. What
   was promising is screened again on top of it; an idea that failed goes on with its next version.
4. What gains and costs too much is revised at once. Where nothing is held, the other ideas that failed are, in the
   order of the queue; at last, gains that were too small to be proved one by one are judged as one bundle.

Before an idea is started, the runs that judge what is held are set aside. Where they do not suffice to confirm each
by itself, or where MOST_HELD are held and ideas are left, what is held is judged as one bundle.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from agents.budget import MOST_HELD, confirmation_runs, judging_runs, screening_runs
from agents.campaign.board import BUNDLE, Board, Seat
from agents.campaign.branches import drive_together
from agents.campaign.bundle import Bundle, bundle_of, member_of
from agents.campaign.record import Win
from agents.campaign.stack import STACK_PAIRS, measure_stack
from agents.drive import drive
from agents.errors import BaselineRefused, CircleError, DiffRefused, Interrupted, SandboxMissing, UsageError
from agents.nodes.hold import DROP, GO_ON
from agents.notify import Notifier
from agents.ports import Reporter
from agents.records import Budget, Confidence, Session
from agents.session import Opened, Place, start
from agents.state import current


@dataclass
class Night:
    """A campaign while it is being worked on."""

    board: Board
    report: Reporter
    notify: Notifier
    spent: str = ""

    def run(self, after_step: Callable[[], object]) -> None:
        """Work until nothing is left to do, nothing can be afforded, or all that is left waits for a person.

        Raises:
            Interrupted: a person or a signal asked to stop; the campaign resumes where it was.
            BaselineRefused, SandboxMissing: no idea could be judged here.
        """
        if self.board.journal.find("end", "") is not None:
            return
        with self.board.opened.locked():
            while self._step():
                self.spent = ""
                after_step()
            self._close()

    def _step(self) -> bool:
        """Do the first thing that is to be done; False if there is none."""
        seats = self.board.seats()
        if won := next((seat for seat in seats if seat.status == "victory"), None):
            self._stack(won, seats)
            return True
        if begun := [seat for seat in seats if seat.status == "stopped" and self._may_go_on(seat)]:
            self._take_up(begun)
            return True
        if not self.board.confirmations_left:
            self.spent = "All confirmations of the night are used."
            return False
        return self._turn(seats, [seat for seat in seats if seat.held])

    def _may_go_on(self, seat: Seat) -> bool:
        return seat.held is None or self.board.answer(seat) is not None

    def _take_up(self, begun: list[Seat]) -> None:
        """Go on with what was stopped: side by side where that is how it was begun."""
        unheld = [seat for seat in begun if seat.held is None][: self.board.opened.campaign.at_once]
        if len(unheld) > 1:
            self._drive_together(unheld)
        else:
            self._drive(begun[0], self.board.answer(begun[0]))

    def _turn(self, seats: list[Seat], held: list[Seat]) -> bool:
        """Choose which idea has the next runs."""
        if gains := next((seat for seat in held if _gains(seat)), None):
            return self._affords(screening_runs(floor=True)) and self._go_on(gains)
        turns = [seat for seat in held if seat.held and seat.held.held == "confirmation"]
        fresh = [seat for seat in seats if seat.fresh]
        if fresh:
            if len(turns) < MOST_HELD and (next_ones := self._with_room(fresh, turns, seats)):
                return self._start(next_ones)
            if not turns:
                return False
        if turns:
            return self._judge(turns, hurried=bool(fresh))
        if held:
            return self._affords(screening_runs(floor=True)) and self._go_on(held[0])
        return not any(seat.waits for seat in seats) and self._bundle(seats)

    def _with_room(self, fresh: list[Seat], turns: list[Seat], seats: list[Seat]) -> list[Seat]:
        """The ideas to be screened next: one, which finds the floor, and then several where they may be at once."""
        floor = any(seat.opened for seat in seats)
        at_once = min(self.board.opened.campaign.at_once, MOST_HELD - len(turns)) if floor else 1
        judging = judging_runs(self._confidence, len(turns))
        counts = (count for count in range(min(at_once, len(fresh)), 0, -1))
        room = next((count for count in counts if self._affords(count * screening_runs(floor) + judging)), 0)
        return fresh[:room]

    def _start(self, seats: list[Seat]) -> bool:
        """Start ideas' sessions on the present baseline; what cannot be started is on record with the reason."""
        begun = [self.board.seat(seat.name) for seat in seats if self._put_on_record(seat, len(seats))]
        if len(begun) == 1:
            self._drive(begun[0])
        elif begun:
            self._drive_together(begun)
        return True

    def _put_on_record(self, seat: Seat, shares: int) -> bool:
        key = f"{self.board.round} {seat.name}"

        def begin() -> dict[str, str]:
            try:
                return {"session": self._begin(key, seat, shares).session.id}
            except (UsageError, DiffRefused) as error:
                return {"refused": str(error)}

        body = self.board.journal.once("session", key, begin)
        self._say(f"{seat.entry.text}: " + (body.get("refused") or f"session {body['session']}"))
        return "session" in body

    def _begin(self, key: str, seat: Seat, shares: int) -> Opened:
        from agents.brought import plan_of
        from agents.researchers import open_researcher
        from agents.researchers.nobody import Nobody

        campaign, home, entry = self.board.opened.campaign, self.board.opened.home, seat.entry
        secret = hmac.new(bytes.fromhex(campaign.secret), key.encode(), hashlib.sha256).hexdigest()[:32]
        if begun := next((old for old in home.sessions() if _is(old.session, campaign.id, secret)), None):
            return begun  # the night was killed before it could put it on record
        options = replace(campaign.options, secret=secret, budget=self._left(shares))
        place = Place(
            campaign.id,
            campaign.origin,
            self.board.base,
            self.board.standing,
            self.board.failures(seat.name),
            any(other.opened and other.opened.state().get("baseline") for other in self.board.seats()),
        )
        if seat.name == BUNDLE:
            made = Bundle.model_validate(self.board.journal.find(BUNDLE, str(self.board.round)))
            return start(home, made.plan.title, Nobody(), options, (made.diff, made.plan), place=place)
        if not entry.flags:
            return start(
                home, entry.text, open_researcher(campaign.researcher, self.board.target), options, place=place
            )
        flags = self.board.target.flags.file
        diff = home.workspace.carry(entry.diff, campaign.origin, self.board.base, lambda path: path == flags)
        plan = plan_of(home, diff, entry.flags, entry.text, entry.ablations, self.board.base)
        return start(home, entry.text, Nobody(), options, (diff, plan), campaign.author, place)

    def _left(self, shares: int) -> Budget:
        """What is left of the night's limits: no session may use more, whatever its steps were expected to take.

        What a model may use is shared by the sessions that are at work at once.
        """
        campaign, (used, seconds) = self.board.opened.campaign, self.board.cost()
        budget, limit = campaign.options.budget, campaign.options.budget.max_runs
        hours = max(0.0, campaign.hours - seconds / 3600)
        left: dict[str, float | int | None] = {"max_runs": limit and limit - used, "max_hours": hours}
        if budget.max_usd is not None or budget.max_tokens is not None:
            usage = self.board.usage()
            tokens = usage.input_tokens + usage.output_tokens
            left["max_usd"] = budget.max_usd and max(0.0, budget.max_usd - usage.usd) / shares
            left["max_tokens"] = budget.max_tokens and max(0, budget.max_tokens - tokens) // shares
        return budget.model_copy(update=left)

    def _judge(self, turns: list[Seat], hurried: bool) -> bool:
        """Confirm the surest, or all together where that is hurried or the limits have no room for one by one."""
        if bundle := next((seat for seat in turns if seat.name == BUNDLE), None):
            return self._release(bundle)
        each = judging_runs(self._confidence, 1) + screening_runs(floor=True)
        if len(turns) > 1 and (hurried or not self._affords(len(turns) * each)) and self._bundle(turns):
            return True
        return self._release(max(turns, key=lambda seat: (seat.held and seat.held.t) or 0.0))

    def _release(self, seat: Seat) -> bool:
        """Give a held version one of the night's confirmations."""
        assert seat.opened and seat.held
        campaign, left = self.board.opened.campaign, self.board.confirmations_left
        plan = current(seat.opened.state()).plan
        runs = confirmation_runs(self._confidence, len(plan.ablations), len(campaign.options.scales))
        if not self._affords(runs):
            return False
        self.board.journal.once("release", seat.key, lambda: {"t": seat.held and seat.held.t})
        self._say(f"confirmation {campaign.confirmations - left + 1} of {campaign.confirmations} goes to {plan.title}")
        return self._go_on(seat)

    def _go_on(self, seat: Seat, word: str = GO_ON) -> bool:
        assert seat.opened
        if word == DROP:
            self.board.journal.once("dropped", seat.opened.session.id, lambda: True)
        self._drive(seat, self.board.journal.once("answer", seat.key, lambda: word))
        return True

    def _drive(self, seat: Seat, answer: str | None = None) -> None:
        """Drive a session to where it is held, waits or ends; an error of its own ends it alone."""
        assert seat.opened
        name = seat.opened.session.id
        self.board.forget(seat.opened)
        try:
            with self._timed():
                drive(seat.opened, self.report, answer)
        except Interrupted:
            raise self._stopped from None
        except CircleError as error:
            if isinstance(error, SandboxMissing) or (isinstance(error, BaselineRefused) and not self._has_a_floor()):
                raise
            reason = str(error)
            self.board.journal.once("broken", name, lambda: reason)
        self._tell_if_waiting(seat)

    def _drive_together(self, seats: list[Seat]) -> None:
        """Drive several sessions side by side, each as far as it goes by itself; an error ends its own alone."""
        sessions = [seat.opened for seat in seats if seat.opened]
        for opened in sessions:
            self.board.forget(opened)
        try:
            with self._timed():
                errors = drive_together(sessions, self.report)
        except Interrupted:
            raise self._stopped from None
        for name, reason in errors.items():
            self.board.journal.once("broken", name, partial(str, reason))
        for seat in seats:
            self._tell_if_waiting(seat)

    @property
    def _stopped(self) -> Interrupted:
        name = self.board.opened.campaign.id
        return Interrupted(f"Campaign {name} has stopped; circle campaign --resume {name} goes on.")

    @contextmanager
    def _timed(self) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            seconds = round(time.monotonic() - begun, 3)
            self.board.journal.once("step", str(self.board.journal.count("step")), lambda: seconds)

    def _has_a_floor(self) -> bool:
        """Whether any baseline of the night carries verdicts: without one, no other idea would fare better."""
        return any(opened.state().get("baseline") for opened in self.board.sessions())

    def _tell_if_waiting(self, seat: Seat) -> None:
        assert seat.opened
        if seat.opened.standing() != "awaiting_approval":
            return
        name = seat.opened.session.id
        key = f"{name} v{current(seat.opened.state()).n}"
        if self.board.journal.find("told", key) is None:
            self.notify("approval", f"{seat.entry.text} waits for your approval.", name)
            self.board.journal.once("told", key, lambda: True)

    def _stack(self, won: Seat, seats: list[Seat]) -> None:
        """Make a win the next baseline: what is held on the old one is dropped, and decided anew on top of the win."""
        assert won.opened
        for seat in seats:
            if seat.held:
                self._go_on(seat, DROP)
        number, state = self.board.round, won.opened.state()
        names = [seat.name for seat in self.board.seats() if self._comes_again(seat, self._members(won))]
        self.board.journal.once("round", str(number + 1), lambda: names)
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
        self.board.journal.once("win", win.session, lambda: win.model_dump(mode="json"))
        self._say(f"{win.title} is on in both arms from now on; ideas that come again: {len(names)}")
        self.notify("victory", f"{win.title}: {win.effect:+.4g}.", win.session)

    def _members(self, won: Seat) -> tuple[str, ...]:
        if won.name != BUNDLE:
            return (won.name,)
        return Bundle.model_validate(self.board.journal.find(BUNDLE, str(self.board.round))).ideas

    def _comes_again(self, seat: Seat, won: tuple[str, ...]) -> bool:
        """Whether an idea is tried on top of what won: it waited, was held, or had not been started."""
        if seat.name == BUNDLE or seat.refused or seat.status == "victory" or seat.name in won:
            return False
        if seat.opened is None or seat.waits:
            return True
        if not self.board.journal.find("dropped", seat.opened.session.id):
            return False
        return not seat.entry.flags or all(old.outcome == "inconclusive" for old in seat.opened.summary().tried)

    def _bundle(self, seats: list[Seat]) -> bool:
        """Start a bundle of what these ideas hold, if two apply together and this baseline has had none."""
        number = str(self.board.round)
        if self.board.journal.find(BUNDLE, number) is not None:
            return False
        found = [member for seat in seats if (member := member_of(seat))]
        if len(found) < 2 or not self._affords(judging_runs(self._confidence, len(found))):
            return False
        made = bundle_of(self.board.opened.home.workspace, self.board.target, self.board.base, found)
        self.board.journal.once(BUNDLE, number, lambda: made.model_dump(mode="json"))
        for title, why in made.left_out.items():
            self._say(f"not in the bundle: {title} ({why})")
        return bool(made.members) and self._start([self.board.seat(BUNDLE)])

    def _close(self) -> None:
        """End the night, unless something that could still be afforded waits for a person; keep what was won."""
        seats, wins, home = self.board.seats(), self.board.opened.wins(), self.board.opened.home
        if self.spent or not any(seat.waits for seat in seats):
            for seat in seats:
                if seat.held:
                    self._go_on(seat, DROP)
            with self._timed():
                stacked = None if self._lacks(2 * STACK_PAIRS) else measure_stack(self.board.opened, wins, self.report)
            ending = {"spent": self.spent, "stacked": stacked and stacked.model_dump(mode="json")}
            self.board.journal.once("end", "", lambda: ending)
            self.notify("end", f"The night is over; wins: {len(wins)}.", self.board.opened.campaign.id)
        if wins:
            home.workspace.keep(self.board.branch, wins[-1].commit)

    def _affords(self, runs: int) -> bool:
        """Whether so many runs fit into the night, beside those that tell what its wins are worth together."""
        self.spent = self._lacks(runs + (2 * STACK_PAIRS if len(self.board.opened.wins()) > 1 else 0))
        return not self.spent

    def _lacks(self, runs: int) -> str:
        """Say in a sentence which limit of the night has no room for so many runs; empty if all have."""
        campaign, (used, seconds) = self.board.opened.campaign, self.board.cost()
        limit, hours = campaign.options.budget.max_runs, campaign.hours
        scale = self.board.target.scale(campaign.options.preset or self.board.target.preset)
        each = seconds / used if used else scale.seconds
        if limit is not None and used + runs > limit:
            return f"{used} of {limit} runs are used, and the next step may take {runs}."
        if seconds + runs * each > hours * 3600:
            next_ = f"the next step may take {runs * each / 3600:.2f}"
            return f"{seconds / 3600:.2f} of {hours:g} hours are used, and {next_}."
        return ""

    @property
    def _confidence(self) -> Confidence:
        return self.board.opened.campaign.options.confidence

    def _say(self, text: str) -> None:
        self.report("campaign", text=text)


def _is(session: Session, campaign: str, secret: str) -> bool:
    return (session.campaign, session.secret) == (campaign, secret)


def _gains(seat: Seat) -> bool:
    """Whether a version that gains and costs too much waits for its revision."""
    if seat.opened is None or seat.held is None or seat.held.held != "revision":
        return False
    verdict = current(seat.opened.state()).verdict
    return verdict is not None and verdict.cause == "system"
