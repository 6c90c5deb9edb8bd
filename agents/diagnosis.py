"""What the runs' own curves and clocks show beside a verdict: at most three sentences, each naming a figure's panel.

The code under test wrote most of what is read here: it explains and decides nothing. Arms are compared in pairs of runs
that share a seed. A difference counts only if it is beyond the spread between the seeds, which is that the 95 % t
interval over the pairs leaves out "no difference", and if it is large enough to matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

from agents.records import Baseline, Diagnosis, Experiment, Interval, Run
from agents.statistics import interval

MOST = 3
NORMS, EXTRA_TIME, MEMORY = 1.2, 0.03, 1.1
"""What matters: a ratio of norms, a share of the step time, a ratio of peaks."""
DIVERGED = 1e6
"""A loss that no curve which is worth a word reaches."""
STRETCHES = 8
"""Parts of a curve, over each of which the two arms' losses are compared."""
BESIDE_THE_STEPS = {"set-up", "evaluation", "saving", "diagnosis"}

Pairs = Sequence[tuple[Run, Run]]


class Found(NamedTuple):
    """A sentence on a part of the model, and how large the ratio behind it is, as a logarithm without a sign."""

    size: float
    group: str
    sentence: str


def sentences(floor: Baseline, experiment: Experiment) -> tuple[str, ...]:
    """Return what counts: the loss curves first, then the norm that moved most, the time, the memory."""
    screened, alone = pairs_of(floor.runs, experiment.screened), alone_pairs(floor, experiment)
    norms = sorted(_norms(screened), reverse=True)
    candidates = [_curve(screened), norms[0].sentence if norms else None, _time(alone), _memory(alone)]
    candidates += [found.sentence for found in norms[1:]]
    unread = next((f"The diagnosis of a run was ignored: {why}." for why in ignored(experiment)), None)
    found = [sentence for sentence in candidates if sentence]
    return tuple([*found[: MOST - 1], unread] if unread else found[:MOST])


def ignored(experiment: Experiment) -> list[str]:
    """Return why diagnoses of the experiment's runs could not be used."""
    runs = (*experiment.screened, *experiment.timed)
    return [run.diagnosis.ignored for run in runs if run.diagnosis and run.diagnosis.ignored]


def pairs_of(baseline: Sequence[Run], experiment: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Return the runs that ended well as (baseline, experiment) of one seed and one number of tokens."""
    partners = {(run.seed, run.train_tokens): run for run in baseline if run.status == "done"}
    done = (run for run in experiment if run.status == "done")
    return [(partners[key], run) for run in done if (key := (run.seed, run.train_tokens)) in partners]


def arms_of(baseline: Sequence[Run], experiment: Sequence[Run]) -> tuple[Sequence[Run], Sequence[Run]]:
    """Return both arms' runs of the pairs that ended well; where none did, all runs."""
    pairs = pairs_of(baseline, experiment)
    return ([old for old, _ in pairs], [new for _, new in pairs]) if pairs else (baseline, experiment)


def together(runs: Sequence[Run]) -> tuple[tuple[int, ...], list[Sequence[float]]]:
    """Return the steps at which all runs told their losses, and each one's losses there."""
    count = min((min(len(run.loss_steps), len(run.losses)) for run in runs), default=0)
    return runs[0].loss_steps[:count] if runs else (), [run.losses[:count] for run in runs]


def alone_pairs(floor: Baseline, experiment: Experiment) -> list[tuple[Run, Run]]:
    """Return the pairs whose times can be compared best: those timed alone, as last timed; else the screen's."""
    last = experiment.timed[-1].train_tokens if experiment.timed else None
    timed = [run for run in experiment.timed if run.train_tokens == last]
    old, new = ([run for run in timed if run.arm == arm] for arm in ("baseline", "experiment"))
    return pairs_of(old, new) or pairs_of(floor.runs, experiment.screened)


def told_pairs(pairs: Pairs) -> list[tuple[Diagnosis, Diagnosis]]:
    """Return both diagnoses of each pair that looked at the same steps as the first such pair."""
    both = [(old.diagnosis, new.diagnosis) for old, new in pairs]
    told = [(old, new) for old, new in both if old and new and old.steps and old.steps == new.steps]
    return [(old, new) for old, new in told if old.steps == told[0][0].steps]


def parts_to_show(pairs: Pairs, most: int) -> list[str]:
    """Return the parts of the model that both arms have, blocks last; of too many those whose norms moved most."""
    told = told_pairs(pairs)
    shared = [group for group in _by_block(told[0][0].gradient_norms if told else ()) if _everywhere(group, told)]
    moved = [found.group for found in sorted(_norms(pairs), reverse=True)]
    chosen = list(dict.fromkeys([group for group in moved if group in shared] + shared))[:most]
    return [group for group in shared if group in chosen]


def _by_block(groups: Iterable[str]) -> list[str]:
    return sorted(groups, key=lambda group: (int("0" + group.partition(" ")[2]), group))


def _everywhere(group: str, told: Sequence[tuple[Diagnosis, Diagnosis]]) -> bool:
    return all(group in one.gradient_norms and group in one.update_norms for pair in told for one in pair)


def cool_down(diagnosis: Diagnosis) -> int | None:
    """Return the first step that was looked at after the learning rate left its peak for good, if it did."""
    peak = max(diagnosis.multipliers, default=0.0)
    held = [i for i, multiplier in enumerate(diagnosis.multipliers) if multiplier == peak]
    return diagnosis.steps[held[-1] + 1] if held and held[-1] + 1 < len(diagnosis.steps) else None


def _counts(values: Sequence[float]) -> bool:
    """Whether differences over pairs of seeds are beyond their spread."""
    found: Interval = interval(values)
    return found.low > 0 or found.high < 0


def _norms(pairs: Pairs) -> list[Found]:
    kinds: dict[str, Callable[[Diagnosis], Mapping[str, Sequence[float]]]] = {
        "gradient norm": lambda diagnosis: diagnosis.gradient_norms,
        "relative update": lambda diagnosis: diagnosis.update_norms,
    }
    told = told_pairs(pairs)
    found = []
    for kind, series in kinds.items():
        for group in told[0][0].gradient_norms if told else ():
            if _everywhere(group, told):
                logs = [_logs(series(old)[group], series(new)[group]) for old, new in told]
                found.append(_lasting(kind, group, told[0][0].steps, logs))
    return [one for one in found if one]


def _logs(old: Sequence[float], new: Sequence[float]) -> list[float]:
    """Logarithms of new / old, 0 where either is 0."""
    return [math.log(b / a) if a > 0 and b > 0 else 0.0 for a, b in zip(old, new, strict=True)]


def _lasting(kind: str, group: str, steps: Sequence[int], logs: Sequence[Sequence[float]]) -> Found | None:
    """The sentence for a norm that is larger, or smaller, from some step to the end: over a fourth of the points."""
    means = [fmean(column) for column in zip(*logs, strict=True)]
    first, limit = len(means), math.log(NORMS)
    while first and abs(means[first - 1]) > limit and means[first - 1] * means[-1] > 0:
        first -= 1
    if len(means) - first < max(2, len(means) // 4) or not _counts([fmean(row[first:]) for row in logs]):
        return None
    size = fmean(means[first:])
    times = f"is {math.exp(size):.2g} times the baseline's {_since(steps, first)}"
    return Found(abs(size), group, f"Panel '{kind}, {group}': it {times}.")


def _since(steps: Sequence[int], first: int) -> str:
    return f"from step {steps[first]} on" if first else "over the whole run"


def _curve(pairs: Pairs) -> str | None:
    """Where the experiment's training loss is ahead of the baseline's, and where it is behind."""
    steps = min((run.loss_steps for pair in pairs for run in pair), key=len, default=())
    pairs = [pair for pair in pairs if all(run.loss_steps == steps and _told(run) for run in pair)]
    if not pairs or not steps:
        return None
    leads = [[a - b for a, b in zip(old.losses, new.losses, strict=True)] for old, new in pairs]
    count = min(STRETCHES, len(steps))
    bounds = [i * len(steps) // count for i in range(count + 1)]
    spans = list(pairwise(bounds))
    means = [[fmean(lead[a:b]) for lead in leads] for a, b in spans]
    signs = [(1 if fmean(values) > 0 else -1) if _counts(values) else 0 for values in means]
    story = _story(signs, [(steps[a], steps[b - 1]) for a, b in spans], _start_of_cool_down(pairs))
    size = f", by {abs(fmean(means[-1])):.3f} over the last eighth" if signs[-1] else ""
    return f"Panel 'training loss': the experiment's curve is {story}{size}." if story else None


def _told(run: Run) -> bool:
    """Whether a run's curve is whole, and not that of a run that diverged, which the verdict tells."""
    return len(run.losses) == len(run.loss_steps) and all(abs(loss) < DIVERGED for loss in run.losses)


def _start_of_cool_down(pairs: Pairs) -> int | None:
    diagnosis = pairs[0][0].diagnosis
    return cool_down(diagnosis) if diagnosis else None


def _story(signs: Sequence[int], spans: Sequence[tuple[int, int]], cooling: int | None) -> str | None:
    """Tell of the last stretches in which the order of the arms is settled."""
    settled = [i for i, sign in enumerate(signs) if sign]
    if not settled:
        return None
    words, last = {1: "ahead", -1: "behind"}, settled[-1]
    now = signs[last]
    others = [i for i in settled if signs[i] != now]
    if last < len(signs) - 1:
        lost = "loses it" if now > 0 else "catches up"
        when = "in the cool-down" if cooling is not None and spans[last + 1][1] >= cooling else "after it"
        return f"{words[now]} until step {spans[last][1]} and {lost} {when}"
    since = min(i for i in settled if i > (others[-1] if others else -1))
    if others:
        return f"{words[-now]} until step {spans[others[-1]][1]} and {words[now]} from step {spans[since][0]} on"
    return f"{words[now]} from step {spans[since][0]} on" if since else f"{words[now]} from the start"


def _time(pairs: Pairs) -> str | None:
    """Which phase has most of the time that a step takes more, or less."""
    told = [
        (_in_steps(old.diagnosis), _in_steps(new.diagnosis)) for old, new in pairs if old.diagnosis and new.diagnosis
    ]
    told = [(old, new) for old, new in told if sum(old.values()) > 0]
    if not told:
        return None
    changes = [sum(new.values()) - sum(old.values()) for old, new in told]
    total, whole = fmean(changes), fmean(sum(old.values()) for old, _ in told)
    if not _counts(changes) or abs(total) < EXTRA_TIME * whole:
        return None
    phases = sorted({phase for old, new in told for phase in (*old, *new)})
    by_phase = {phase: fmean(new.get(phase, 0.0) - old.get(phase, 0.0) for old, new in told) for phase in phases}
    phase = max(by_phase, key=lambda name: by_phase[name] * total)
    share = min(1.0, by_phase[phase] / total)
    what = f"extra step time (+{total / whole:.0%})" if total > 0 else f"step time saved ({total / whole:.0%})"
    return f"Panel 'time': {share:.0%} of the {what} is in the phase {phase!r}."


def _in_steps(diagnosis: Diagnosis) -> dict[str, float]:
    return {name: value for name, value in diagnosis.phase_seconds.items() if name not in BESIDE_THE_STEPS}


def _memory(pairs: Pairs) -> str | None:
    peaks = [(old.peak_memory_bytes, new.peak_memory_bytes) for old, new in pairs]
    logs = [math.log(new / old) for old, new in peaks if old and new]
    if not logs or not _counts(logs) or abs(fmean(logs)) < math.log(MEMORY):
        return None
    return f"Panel 'peak memory': it is {math.exp(fmean(logs)):.2g} times the baseline's."
