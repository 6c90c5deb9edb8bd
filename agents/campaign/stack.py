"""What the night's wins are worth together: its first baseline against its last, on fresh seeds and hidden data."""

from __future__ import annotations

from agents.campaign.record import OpenCampaign, Win
from agents.laboratory.choice import side_by_side
from agents.measuring import open_laboratory
from agents.ports import Order, Reporter, switched
from agents.records import Arm, Interval
from agents.session import load_committed_target
from agents.statistics import gain, interval, seed

STACK_PAIRS = 8


def measure_stack(opened: OpenCampaign, wins: list[Win], report: Reporter) -> Interval | None:
    """Return the gain of all wins together with its 95 % interval; None below two wins, or where a run failed."""
    if len(wins) < 2:
        return None
    campaign, options = opened.campaign, opened.campaign.options
    target = load_committed_target(opened.home.workspace, campaign.origin)
    preset = options.preset or target.preset
    laboratory = open_laboratory(
        opened.home,
        target,
        campaign.origin,
        preset,
        opened.folder,
        opened.journal,
        options.no_sandbox,
        options.workers or side_by_side(options.lab, target, unprotected=options.no_sandbox),
        report,
        options.lab,
    )
    tokens = options.train_tokens or target.scale(preset).train_tokens
    flags = switched(*(win.flags for win in wins))
    arms: tuple[tuple[Arm, str], ...] = (("baseline", campaign.origin), ("experiment", wins[-1].commit))
    seeds = [seed(bytes.fromhex(campaign.secret), "stack", index) for index in range(STACK_PAIRS)]
    orders = [
        Order(arm, "report", number, commit, tokens, flags=flags if arm == "experiment" else (), splits=("hidden",))
        for number in seeds
        for arm, commit in arms
    ]
    try:
        runs = laboratory.run(orders)
    finally:
        laboratory.close()
    losses = [run.hidden for run in runs if run.status == "done" and run.hidden is not None]
    if len(losses) < len(runs):
        return None
    pairs = zip(losses[::2], losses[1::2], strict=True)
    return interval([gain(old, new, target.metric.direction) for old, new in pairs])
