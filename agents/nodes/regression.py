"""The experiment-runner's first visit: is the baseline path untouched with the flag off, and the flag alive?"""

from __future__ import annotations

from collections.abc import Sequence

from langgraph.runtime import Runtime

from agents.errors import BaselineRefused
from agents.nodes.baseline import same
from agents.ports import Context, Order, switched
from agents.records import Regression, Run, Version
from agents.state import State, amended, baseline_of, current


def regression(state: State, runtime: Runtime[Context]) -> State:
    """Prove the version's baseline path untouched and its flag alive, by running them."""
    context, version, floor = runtime.context, current(state), baseline_of(state)
    assert version.patch is not None and floor is not None
    commit, tokens, first = version.patch.commit, context.session.train_tokens, floor.runs[0]
    short = context.target.scale(context.session.preset).short_tokens
    standing = context.session.standing
    old, new = switched(standing), switched(standing, version.plan.flags)
    off, short_off, short_on = runs = context.laboratory.run(
        [
            Order("baseline", "regression", first.seed, commit, tokens, flags=old, splits=("visible",)),
            Order("baseline", "liveness", first.seed, commit, short, flags=old, splits=("visible",)),
            Order("experiment", "liveness", first.seed, commit, short, flags=new, splits=("visible",)),
        ]
    )
    result = compare(first, off, short_off, short_on, version)
    failed = next((run for run in (off, short_on) if run.status != "done"), None)
    if failed is not None:
        result = result.model_copy(update={"log": context.laboratory.excerpt(failed)})
    context.report("regression", version=version.n, regression=result)
    return {"versions": amended(state, regression=result), "runs": charge(runs)}


def compare(recorded: Run, off: Run, short_off: Run, short_on: Run, version: Version) -> Regression:
    """Compare the flag-off run with the recorded one, bit for bit, and the flag-on run with the flag-off one.

    Raises:
        BaselineRefused: the target itself fails at the short length.
    """
    difference = _max_difference(recorded, off)
    result = Regression(passed=False, method="bitwise", max_abs_difference=difference, live=False, reason="")
    if off.status != "done" or not same(recorded, off):
        why = f"the run failed: {off.error}" if off.status != "done" else f"its losses differ by up to {difference}"
        reason = f"The baseline moved with the flag off: {why}."
        if version.patch is not None and not version.patch.files:
            reason = f"The target does not repeat itself: the same code with the same seed, and {why}."
        return result.model_copy(update={"failure": "regression", "reason": reason})
    if moved := _moved_settings(recorded, off, version):
        reason = f"The baseline's own settings moved: {', '.join(moved)}."
        return result.model_copy(update={"failure": "regression", "reason": reason})
    if short_off.status != "done":
        why = f"A short run with the flag off, of {short_off.train_tokens:,}, failed: {short_off.error}."
        if version.patch is not None and not version.patch.files:
            raise BaselineRefused(f"{why} [presets] of circle.toml says how long a short run is.")
        return result.model_copy(update={"failure": "regression", "reason": why})
    if short_on.status != "done":
        reason = f"The run with the flag on failed: {short_on.error}."
        return result.model_copy(update={"failure": "run", "reason": reason})
    if (short_off.weights_sha256, short_off.visible) == (short_on.weights_sha256, short_on.visible):
        return result.model_copy(update={"failure": "dead flag", "reason": "The flag is dead: on, it changes nothing."})
    reason = "The flag-off run equals the baseline bit for bit, and the flag changes the result."
    return result.model_copy(update={"passed": True, "live": True, "reason": reason})


def _max_difference(one: Run, other: Run) -> float | None:
    mine, theirs = (*one.losses, *one.history), (*other.losses, *other.history)
    if len(mine) != len(theirs):
        return None
    return max((abs(a - b) for a, b in zip(mine, theirs, strict=True)), default=0.0)


def _moved_settings(recorded: Run, off: Run, version: Version) -> list[str]:
    expected = {flag.name: flag.default for flag in version.plan.flags} | recorded.configs
    return sorted(name for name, value in off.configs.items() if expected.get(name, value) != value)


def charge(runs: Sequence[Run]) -> dict[str, float]:
    """Return what runs cost, by their keys: the same run twice costs once."""
    return {run.key: run.train_seconds for run in runs}
