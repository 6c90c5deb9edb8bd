"""Gains that were too small to be proved one by one, as one version: one confirmation, its members as ablations."""

from __future__ import annotations

from agents.errors import DiffRefused
from agents.records import Ablation, Flag, Plan, Record, Version
from agents.session import Opened
from agents.settings import Target
from agents.state import versions_of
from agents.workspace import GitWorkspace


class Bundle(Record):
    """A diff that holds all members' changes, and the plan that turns them on; `left_out` says why others are not in.

    Without two members that apply together there is none, and `members` is empty.
    """

    members: tuple[str, ...]
    left_out: dict[str, str]
    diff: str
    plan: Plan


def unproved(opened: Opened) -> Version | None:
    """Return the newest version of a session that its screen let on and no confirmation carried, if it gains at all."""
    found = [version for version in versions_of(opened.state()) if _promising(version)]
    return found[-1] if found else None


def _promising(version: Version) -> bool:
    measured, verdict = version.experiment, version.verdict
    if measured is None or verdict is None or verdict.outcome != "inconclusive" or measured.visible_effect is None:
        return False
    return (
        measured.ended in ("refused", "dropped", "budget") and measured.promising and measured.visible_effect.mean > 0
    )


def bundle_of(workspace: GitWorkspace, target: Target, base: str, versions: list[Version]) -> Bundle:
    """Join versions of one base as far as they apply together, the surest screen first.

    Where two declare a flag at the same place of the target's flag file, both declarations are kept.
    """
    members: list[Version] = []
    left_out: dict[str, str] = {}
    diff = ""
    for version in sorted(versions, key=_gain, reverse=True):
        try:
            _refuse_flags_twice([*members, version])
            diff = workspace.join(base, _commits([*members, version]), lambda path: path == target.flags.file)
        except DiffRefused as conflict:
            left_out[version.plan.title] = str(conflict)
        else:
            members.append(version)
    if len(members) < 2:
        members = []
    return Bundle(
        members=tuple(member.plan.title for member in members),
        left_out=left_out,
        diff=diff,
        plan=_plan(members, target),
    )


def _gain(version: Version) -> float:
    assert version.experiment and version.experiment.visible_effect
    return version.experiment.visible_effect.mean


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
        hypothesis=f"Together they lower what each alone was too small to prove: {target.metric.name} gets better.",
        method=f"The changes of {titles}, joined on their common base; no line is new.",
        files=tuple(sorted({file for member in members if member.patch for file in member.patch.files})),
        flags=_flags(members),
        criteria="The session's rule of proof, as one version.",
        ablations=tuple(
            Ablation(name=f"without {member.plan.title}", flags=_flags([other for other in members if other != member]))
            for member in members
        ),
    )


def _flags(members: list[Version]) -> tuple[Flag, ...]:
    return tuple(flag for member in members for flag in member.plan.flags)
