"""The morning report: what was tried, what holds, what it cost, what next; as one JSON document and as a page."""

from __future__ import annotations

from typing import Any

from agents.campaign.board import BUNDLE, Board, Seat
from agents.campaign.bundle import Bundle
from agents.campaign.record import OpenCampaign, Win
from agents.campaign.stack import STACK_PAIRS
from agents.records import Flag, Tried
from agents.report.canvas import canvas, svg
from agents.report.documents import template
from agents.state import current

_COLOURS = {"win": "#0072b2", "inconclusive": "#e69f00", "loss": "#999999", "invalid": "#cccccc"}


def document(board: Board) -> dict[str, Any]:
    """Return the campaign as one JSON document."""
    opened, seats, (runs, seconds) = board.opened, board.seats(), board.cost()
    campaign, wins, ended = opened.campaign, opened.wins(), opened.journal.find("end", "")
    waiting = [seat for seat in seats if seat.waits]
    status = "awaiting_approval" if waiting else "stopped"
    if ended is not None:
        status = "victory" if wins else "concluded"
    tried = [old for session in board.sessions() for old in session.summary().tried]
    return {
        "id": campaign.id,
        "status": status,
        "started_at": campaign.started_at,
        "target": {"path": str(opened.home.target), "commit": campaign.origin},
        "tried": [old.model_dump(mode="json") for old in tried],
        "not_started": _not_started(board),
        "wins": [
            win.model_dump(mode="json") | {"switch": words(win.flags), "ablations": _ablations(board, win)}
            for win in wins
        ],
        "stacked": ended["stacked"] if ended else None,
        "stack_pairs": STACK_PAIRS,
        "branch": board.branch if wins else None,
        "bundles": opened.bodies("bundle"),
        "confirmations": {
            "used": opened.journal.count("release"),
            "allowed": campaign.confirmations,
            "error": campaign.error,
        },
        "cost": {"runs": runs, "hours": seconds / 3600, "allowed_hours": campaign.hours},
        "spent": (ended and ended["spent"]) or None,
        "next": {
            "promising": [old.model_dump(mode="json") for old in _promising(tried, _won_together(opened))],
            "waiting": [{"idea": seat.entry.text, "session": _session(seat)} for seat in waiting],
            "left": [seat.entry.text for seat in seats if seat.opened is None and not seat.refused],
        },
    }


def write(board: Board, shown: dict[str, Any]) -> str:
    """Write the page and its figure into the campaign's folder, and return the page."""
    text: str = template("campaign.md.j2").render(shown | {"figure": _measured(shown)})
    (board.opened.folder / "report.md").write_text(text, encoding="utf-8")
    if _measured(shown):
        (board.opened.folder / "effects.svg").write_text(_effects(_measured(shown)), encoding="utf-8")
    return text


def words(flags: tuple[Flag, ...]) -> str:
    """Return flags as a command line takes them."""
    values = ((flag.name, str(flag.value).lower() if isinstance(flag.value, bool) else flag.value) for flag in flags)
    return " ".join(f"--{name} {value}" for name, value in values)


def _not_started(board: Board) -> list[dict[str, str]]:
    """The ideas that could not be judged, on whichever baseline of the night, and why."""
    refused = {
        seat.entry.text: seat.refused
        for number in range(board.round + 1)
        for name in map(str, range(len(board.opened.campaign.entries)))
        if (seat := board.seat(name, number)).refused
    }
    return [{"idea": text, "why": why} for text, why in refused.items()]


def _won_together(opened: OpenCampaign) -> set[str]:
    """The titles of what is in as a part of a bundle that won."""
    wins = {win.title for win in opened.wins()}
    bundles = map(Bundle.model_validate, opened.bodies(BUNDLE))
    return {title for bundle in bundles if bundle.plan.title in wins for title in bundle.members}


def _ablations(board: Board, win: Win) -> list[dict[str, Any]]:
    """What a win is without a part of it, as its session measured it."""
    found = [current(opened.state()).experiment for opened in board.sessions() if opened.session.id == win.session]
    ablated = (result for measured in found if measured for result in measured.ablations)
    return [result.model_dump(mode="json") | {"finding": result.finding} for result in ablated]


def _promising(tried: list[Tried], won: set[str]) -> list[Tried]:
    """What the screen let on and no confirmation carried, by the last word on each change, the largest gain first."""
    last = {(old.idea, old.flags): old for old in tried if old.title not in won}.values()
    open_ = [old for old in last if old.outcome == "inconclusive" and old.ended in ("refused", "dropped", "budget")]
    return sorted((old for old in open_ if (old.screened or 0) > 0), key=lambda old: old.screened or 0, reverse=True)


def _session(seat: Seat) -> str:
    return seat.opened.session.id if seat.opened else ""


def _measured(shown: dict[str, Any]) -> list[dict[str, Any]]:
    return [old for old in shown["tried"] if old["effect"] is not None and old["ci"] is not None]


def _effects(measured: list[dict[str, Any]]) -> str:
    """Every version's effect with its 95 % interval, the first at the top; right of the line is better."""
    figure, axes = canvas()
    for row, old in enumerate(reversed(measured)):
        low, high = old["ci"]
        axes.plot([low, high], [row, row], color=_COLOURS[old["outcome"]], linewidth=1.2)
        axes.scatter([old["effect"]], [row], color=_COLOURS[old["outcome"]], s=18)
    axes.set_yticks(
        range(len(measured)), [f"{old['title']} V{old['version']}" for old in reversed(measured)], fontsize=7
    )
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel("effect, 95 % interval (right is better)")
    return svg(figure)
