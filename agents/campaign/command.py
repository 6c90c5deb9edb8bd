"""What `circle campaign` does: fill the queue, and follow the night to where it ends or waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.campaign.board import Board
from agents.campaign.ideas import check, own_ideas, read_ideas
from agents.campaign.night import Night
from agents.campaign.record import OpenCampaign, start_campaign
from agents.campaign.report import document, write
from agents.notify import Notifier
from agents.ports import Reporter
from agents.researchers import open_researcher
from agents.session import Home, Options, load_committed_target, tree_of


def queue(
    home: Home, file: Path | None, researcher: str, options: Options, hours: float, error: float, at_once: int
) -> OpenCampaign:
    """Start a campaign with the ideas of a file, or with the researcher's own.

    Raises:
        UsageError: an idea cannot be started, no idea is left, or the error budget buys nothing; nothing is made then.
    """
    base = home.workspace.head()
    target = load_committed_target(home.workspace, base)
    answers = open_researcher(researcher, target)
    preset = options.preset or target.preset
    tokens = options.train_tokens or target.scale(preset).train_tokens
    tried = home.tried(tree_of(home.workspace, target, base, ()), preset, tokens) if options.memory else ()
    entries = read_ideas(file) if file else own_ideas(answers, tried)
    check(entries, home, answers, base)
    return start_campaign(home, entries, researcher, options, hours, error, at_once)


def follow(opened: OpenCampaign, report: Reporter, notify: Notifier) -> tuple[dict[str, Any], str]:
    """Work through the night, and return its document and its page.

    Raises:
        Interrupted: it was asked to stop, and goes on with --resume.
    """
    campaign = opened.campaign
    share = f"at most {campaign.confirmations} confirmations, which hold false wins in at most {campaign.error:.0%} of"
    report("campaign", text=f"{len(campaign.entries)} ideas, {campaign.hours:g} hours; {share} such nights")
    board = Board(opened)
    try:
        Night(board, report, notify).run(after_step=lambda: write(board, document(board)))
    finally:
        shown = document(board)
        page = write(board, shown)
    return shown, page
