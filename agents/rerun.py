"""Every run of a session trained once more, and held against the record: what `circle replay --rerun` adds.

On the machine that trained it a CPU gives the same bits. Elsewhere a run may differ; then all must end alike, and each
arm be equivalent: the 90 % interval of its mean difference lies within one standard deviation of the baseline.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agents.journal import Journal
from agents.measuring import open_laboratory
from agents.nodes.baseline import same
from agents.ports import Order, Reporter
from agents.records import Run
from agents.session import Opened, load_committed_target
from agents.state import baseline_of
from agents.statistics import interval

_LEVEL = 0.90


def rerun(opened: Opened, orders: dict[str, Order], report: Reporter) -> dict[str, Any]:
    """Train the orders again in a folder of their own; return how many are the same, and which are not."""
    session, home = opened.session, opened.home
    origin = session.origin or session.base
    target = load_committed_target(home.workspace, origin)
    folder = Path(tempfile.mkdtemp(prefix="rerun-", dir=opened.folder))
    with opened.journal() as kept:
        recorded = {key: Run.model_validate(body) for key, body in kept.bodies("run").items()}
    unprotected = session.sandbox == "none"
    journal = Journal(folder / "journal.sqlite")
    laboratory = open_laboratory(
        home, target, origin, session.preset, folder, journal, unprotected, session.workers, report, session.lab
    )
    try:
        together = [order for order in orders.values() if not order.alone]
        alone = [order for order in orders.values() if order.alone]
        runs = [*laboratory.run(together), *laboratory.run(alone)]
    finally:
        laboratory.close()
        journal.close()
        shutil.rmtree(folder, ignore_errors=True)
    different = [run for run in runs if not _identical(run, recorded[run.key])]
    floor = baseline_of(opened.state())
    arms = ([run for run in runs if run.arm == arm] for arm in ("baseline", "experiment"))
    ends = all(run.status == recorded[run.key].status for run in runs)
    equivalent = ends and floor is not None and all(_equivalent(arm, recorded, floor.std) for arm in arms if arm)
    return {
        "runs": len(runs),
        "rerun_identical": len(runs) - len(different),
        "rerun_different": [f"{run.stage} {run.arm} seed {run.seed}" for run in different],
        "rerun_equivalent": not different or equivalent,
    }


def _equivalent(runs: list[Run], recorded: dict[str, Run], sigma: float) -> bool:
    """Whether an arm's metrics are the same in the mean, surely to within a standard deviation of the baseline."""
    shifts = [after - before for run in runs for before, after in _metrics(recorded[run.key], run)]
    shift = interval(shifts, _LEVEL) if len(shifts) > 1 else None
    return shift is not None and max(abs(shift.low), abs(shift.high)) < sigma


def _identical(run: Run, before: Run) -> bool:
    return same(run, before) and (run.hidden, run.status) == (before.hidden, before.status)


def _metrics(before: Run, after: Run) -> Iterable[tuple[float, float]]:
    for name in ("visible", "hidden"):
        old, new = getattr(before, name), getattr(after, name)
        if old is not None and new is not None:
            yield old, new
