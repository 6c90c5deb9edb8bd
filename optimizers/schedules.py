"""Learning-rate schedules: pure functions from a step to a multiplier of the peak rate."""

import math
from typing import Literal

Schedule = Literal["constant", "cosine", "linear", "wsd"]


def multiplier(
    step: int,
    steps: int,
    schedule: Schedule,
    warmup_ratio: float = 0.0,
    cooldown_ratio: float = 0.0,
    final_ratio: float = 0.0,
) -> float:
    """The multiplier of the update with index `step` (0-based) out of `steps`.

    Every schedule first rises linearly over `warmup_ratio` of the run. Then "constant" stays at 1; "cosine"
    (arXiv 1608.03983) and "linear" fall to `final_ratio` over the rest of the run; and "wsd" (warm-up,
    stable, decay; arXiv 2404.06395) falls to it linearly over the last `cooldown_ratio` of the run.
    """
    warmup = round(warmup_ratio * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule == "constant":
        return 1.0
    start = max(warmup, steps - round(cooldown_ratio * steps)) if schedule == "wsd" else warmup
    progress = max(0, step - start) / max(1, steps - start)
    fallen = (1 - math.cos(math.pi * progress)) / 2 if schedule == "cosine" else progress
    return 1.0 - (1.0 - final_ratio) * fallen
