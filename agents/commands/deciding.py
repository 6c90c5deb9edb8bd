"""Decides what becomes of a session: `circle approve`, `reject`, `resume`, `fork`, `stop` and `merge`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from agents.commands.asking import decided
from agents.commands.following import announce, follow
from agents.errors import CircleError
from agents.options import (
    ID,
    SHA,
    DollarsOption,
    HoursOption,
    JsonOption,
    ModelOption,
    ModelTokensOption,
    ResearcherOption,
    RunsOption,
    ShownOption,
    TargetOption,
    VersionsOption,
    committed_home,
    fork_changes,
    home,
)


def approve(
    id_: ID,
    sha: SHA,
    comment: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    version: ShownOption = None,
    target: TargetOption = None,
    json_: JsonOption = False,
) -> None:
    """Approve the diff with that SHA-256 and go on; one too long to be shown only after circle diff --raw."""
    opened = home(target).find(id_)
    follow(opened, json_, decided(opened, "approved", sha, comment, version))


def reject(
    id_: ID,
    sha: SHA,
    comment: Annotated[str, typer.Option(help="What the next version should do differently.")],
    version: ShownOption = None,
    target: TargetOption = None,
    json_: JsonOption = False,
) -> None:
    """Send the diff with that SHA-256 back to the planner, with words."""
    opened = home(target).find(id_)
    follow(opened, json_, decided(opened, "rejected", sha, comment, version))


def resume(
    id_: ID,
    target: TargetOption = None,
    max_versions: VersionsOption = None,
    max_runs: RunsOption = None,
    max_hours: HoursOption = None,
    max_usd: DollarsOption = None,
    max_tokens: ModelTokensOption = None,
    json_: JsonOption = False,
) -> None:
    """Go on with a session that was stopped, interrupted or killed; with a raised budget as a fork of it."""
    from agents.campaign.board import check_current
    from agents.family import fork as fork_session
    from agents.family import left_of, where_it_stopped

    opened = home(target).find(id_)
    check_current(opened)
    raised = _limits(max_versions, max_runs, max_hours, max_usd, max_tokens)
    if raised:
        settings = committed_home(target)[1]
        at = where_it_stopped(opened)
        changes = fork_changes(opened.session, settings, None, None, None, raised)
        assert changes.budget is not None
        opened = fork_session(opened, at, replace(changes, budget=left_of(opened, changes.budget)))
        announce(opened)
    follow(opened, json_)


def fork(
    id_: ID,
    at: Annotated[int, typer.Option("--at", min=1, help="The step to go on from, as circle log numbers them.")],
    idea: Annotated[str | None, typer.Option(help="Another idea.")] = None,
    target: TargetOption = None,
    researcher: ResearcherOption = None,
    model: ModelOption = None,
    max_versions: VersionsOption = None,
    max_runs: RunsOption = None,
    max_hours: HoursOption = None,
    max_usd: DollarsOption = None,
    max_tokens: ModelTokensOption = None,
    json_: JsonOption = False,
) -> None:
    """Start a new session from a step of an old one, with another idea, researcher or budget; the old one stays."""
    from agents.family import fork as fork_session

    place, settings = committed_home(target)
    opened = place.find(id_)
    raised = _limits(max_versions, max_runs, max_hours, max_usd, max_tokens)
    changes = fork_changes(opened.session, settings, idea, researcher, model, raised)
    made = fork_session(opened, at, changes)
    announce(made)
    follow(made, json_)


def stop(id_: ID, target: TargetOption = None) -> None:
    """Ask a running session to stop at its next boundary; end what a killed one left running."""
    from agents.laboratory.watcher import end_orphans

    opened = home(target).find(id_)
    if opened.status() != "running":
        left = end_orphans(opened.folder)
        print(f"Session {id_} is not running{f'; what it left running has been ended ({left})' if left else ''}.")
        return
    opened.ask_to_stop()
    print(f"Session {id_} stops at its next boundary; circle resume {id_} goes on.")


def merge(id_: ID, target: TargetOption = None) -> None:
    """Merge a victory's branch into the current branch."""
    place = home(target)
    won = place.find(id_).state().get("victory")
    if not won:
        raise CircleError(f"Session {id_} has no victory that could be merged.")
    print(f"Merged {won['branch']} as {place.workspace.merge(won['branch'])[:12]}.")


def _limits(
    versions: int | None, runs: int | None, hours: float | None, usd: float | None, tokens: int | None
) -> dict[str, float]:
    """The limits that were said."""
    said = {"max_versions": versions, "max_runs": runs, "max_hours": hours, "max_usd": usd, "max_tokens": tokens}
    return {name: value for name, value in said.items() if value is not None}
