"""Gains that cannot be proved one by one, as one version: one confirmation, its members as ablations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.campaign.board import BUNDLE, Seat
from agents.errors import DiffRefused
from agents.records import Ablation, Flag, Plan, Record, Version
from agents.settings import Target
from agents.state import current, versions_of
from agents.workspace import GitWorkspace


class Bundle(Record):
    """A diff that holds all members' changes, and the plan that turns them on; `left_out` says why others are not in.

    `ideas` are the members' names in the queue. Without two members that apply together there is none.
    """

    members: tuple[str, ...]
    ideas: tuple[str, ...]
    left_out: dict[str, str]
    diff: str
    plan: Plan


@dataclass(frozen=True)
class Member:
    """A version that may go into a bundle, the name of its idea in the queue, and its mean gain in the screen."""

    idea: str
    version: Version
    gain: float


def member_of(seat: Seat) -> Member | None:
    """Return what an idea has for a bundle: what is held before its confirmation, or came out of it unproved."""
    if seat.opened is None or seat.name == BUNDLE:
        return None
    state = seat.opened.state()
    if seat.held:
        turn = seat.held.held == "confirmation"
        return Member(seat.name, current(state), seat.held.gain or 0.0) if turn else None
    found = [Member(seat.name, old, gain) for old in versions_of(state) if (gain := _unproved(old))]
    return found[-1] if found else None


def _unproved(version: Version) -> float | None:
    """Return the gain of a version that its screen let on and no confirmation carried, if it has any."""
    measured, verdict = version.experiment, version.verdict
    if measured is None or verdict is None or verdict.outcome != "inconclusive" or measured.visible_effect is None:
        return None
    if measured.ended not in ("refused", "dropped", "budget") or not measured.promising:
        return None
    return max(measured.visible_effect.mean, 0.0)


def bundle_of(workspace: GitWorkspace, target: Target, base: str, candidates: Sequence[Member]) -> Bundle:
    """Join versions of one base as far as they apply together, the largest gain first.

    Where two declare a flag at the same place of the target's flag file, both declarations are kept.
    """
    members: list[Member] = []
    left_out: dict[str, str] = {}
    diff = ""
    for member in sorted(candidates, key=lambda member: member.gain, reverse=True):
        versions = [old.version for old in (*members, member)]
        try:
            _refuse_flags_twice(versions)
            diff = workspace.join(base, _commits(versions), lambda path: path == target.flags.file)
        except DiffRefused as conflict:
            left_out[member.version.plan.title] = str(conflict)
        else:
            members.append(member)
    if len(members) < 2:
        members = []
    return Bundle(
        members=tuple(member.version.plan.title for member in members),
        ideas=tuple(member.idea for member in members),
        left_out=left_out,
        diff=diff,
        plan=_plan([member.version for member in members], target),
    )


def _commits(members: list[Version]) -> list[str]:
    return [member.patch.commit for member in members if member.patch]


def _refuse_flags_twice(members: list[Version]) -> None:
    names = [flag.name for member in members for flag in member.plan.flags]
    if twice := {name for name in names if names.count(name) > 1}:
        raise DiffRefused(f"{sorted(twice)[0]}: both set this flag.")


def _plan(members: list[Version], target: Target) -> Plan:
    titles = ", ".join(member.plan.title for member in members)
    return Plan(
        title=f"Bundle of {titles}",
        hypothesis=f"Together they lower what each alone does not prove: {target.metric.name} gets better.",
        method=f"The changes of {titles}, joined on their common base; no line is new.",
        files=tuple(sorted({file for member in members if member.patch for file in member.patch.files})),
        flags=_flags(members),
        criteria="The session's rule of proof, as one version.",
        ablations=tuple(
            Ablation(
                name=f"without {member.plan.title}",
                flags=_flags([other for other in members if other != member]),
                member=True,
            )
            for member in members
        ),
    )


def _flags(members: list[Version]) -> tuple[Flag, ...]:
    return tuple(flag for member in members for flag in member.plan.flags)
