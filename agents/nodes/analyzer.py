"""Decides a version's verdict by arithmetic, then asks the experiment-analyzer to put it into words."""

from __future__ import annotations

from typing import Literal

from langgraph.runtime import Runtime

from agents.diagnosis import sentences
from agents.errors import Halted
from agents.nodes.implementer import attempts_left
from agents.nodes.planner import story
from agents.ports import Context
from agents.records import Analysis, Baseline, Experiment, Run, Verdict, Version
from agents.report import documents
from agents.settings import Target
from agents.skills import question
from agents.state import State, amended, baseline_of, current
from agents.statistics import Evidence, gain, judge

_EARLY_STEPS, _LOGS = 10, 2


def analyzer(state: State, runtime: Runtime[Context]) -> State:
    """Put the verdict into the version, and the version's results into the paper."""
    context, version, floor = runtime.context, current(state), baseline_of(state)
    assert floor is not None
    verdict = decide(version, floor, context.target)
    if version.experiment:
        verdict = verdict.model_copy(update={"diagnosis": sentences(floor, version.experiment)})
    try:
        analysis = context.researcher.ask(
            question(
                context.session,
                "experiment-analyzer",
                "analyse",
                idea=context.session.idea.model_dump(mode="json"),
                version=story(version),
                verdict=verdict.model_dump(mode="json"),
                baseline=floor.model_dump(mode="json", exclude={"runs"}),
                measured=_visible(version.experiment),
                logs=[context.laboratory.excerpt(run) for run in _failed(version)[:_LOGS]],
            ),
            Analysis,
        )
    except Halted as halted:
        analysis = Analysis(reason=f"{verdict.finding} Nobody put it into words: {halted}", lessons=())
    verdict = verdict.model_copy(update={"reason": analysis.reason, "lessons": analysis.lessons})
    context.report("verdict", version=version.n, verdict=verdict)
    versions = amended(state, verdict=verdict)
    return documents.written({**state, "versions": versions}, context, f"Record the verdict on version {version.n}")


def decide(version: Version, floor: Baseline, target: Target) -> Verdict:
    """Return the verdict that the measurements of a version give."""
    if version.review is not None and not version.review.passed:
        critical = [issue.issue for issue in version.review.issues if issue.severity == "CRITICAL"]
        return Verdict(
            outcome="invalid",
            cause="implementation",
            row=1,
            finding=f"The review did not pass: {critical[0] if critical else 'no reason was given'}",
            quantity="critical issues",
            value=float(len(critical)),
        )
    verdict = judge(_evidence(version, floor, target))
    if verdict.row == 1 and version.regression and version.regression.failure:
        return verdict.model_copy(update={"finding": version.regression.reason})
    if version.experiment and version.experiment.ended == "dropped":
        return verdict.model_copy(update={"finding": f"Dropped before its confirmation. {verdict.finding}"})
    refused = [run for run in version.experiment.failed_runs if run.status == "refused"] if version.experiment else []
    if verdict.row == 1 and refused:
        return verdict.model_copy(update={"finding": f"Seed {refused[0].seed}: {refused[0].error}."})
    return verdict


def _evidence(version: Version, floor: Baseline, target: Target) -> Evidence:
    experiment, regression = version.experiment, version.regression
    failure = regression.failure if regression else None
    evidence = Evidence(
        sigma=floor.std,
        regression_failed=failure == "regression",
        dead_flag=failure == "dead flag",
        experiment_failure="crash" if failure == "run" else None,
        repaired_once=bool(version.repairs),
    )
    if experiment is None:
        return evidence
    screened = [pair for pair in experiment.pairs if pair.stage == "screen"]
    gains = tuple(
        gain(pair.baseline, pair.experiment, floor.direction)
        for pair in screened
        if pair.baseline is not None and pair.experiment is not None
    )
    answers: dict[str, Literal["win", "refused"]] = {"confirmed": "win", "refused": "refused"}
    return Evidence(
        sigma=floor.std,
        causality_failed=any(run.status == "refused" for run in experiment.failed_runs),
        experiment_failure=_kind(experiment.failed_runs),
        diverged_seeds=len({run.seed for run in experiment.failed_runs}),
        repaired_once=bool(version.repairs),
        visible_effect=experiment.visible_effect,
        speed_ratio=experiment.speed_ratio,
        memory_ratio=experiment.memory_ratio,
        memory_limit=target.guards.memory_ratio,
        time_limit=target.time_limit,
        self_reported=target.evaluation.self_reported,
        equal_time_effect=experiment.equal_time_effect,
        kappa=experiment.kappa,
        retrained=experiment.retrained,
        confirmation=answers.get(experiment.ended),
        differences=gains,
        budget_ended=experiment.ended == "budget",
    )


def _kind(failed: tuple[Run, ...]) -> Literal["crash", "timeout", "diverged_early", "diverged_late"] | None:
    statuses = {run.status for run in failed}
    if "crashed" in statuses:
        return "crash"
    if "timeout" in statuses:
        return "timeout"
    if not failed or statuses == {"refused"}:
        return None
    early = any(run.status == "diverged" and 0 < run.steps < _EARLY_STEPS for run in failed)
    return "diverged_early" if early else "diverged_late"


def repairable(version: Version) -> bool:
    """Whether the verdict asks for another implementation of the same plan."""
    verdict = version.verdict
    return verdict is not None and verdict.cause == "implementation" and attempts_left(version)


def _failed(version: Version) -> tuple[Run, ...]:
    return version.experiment.failed_runs if version.experiment else ()


def _visible(experiment: Experiment | None) -> dict[str, object] | None:
    """What the researcher may see: visible pairs, ratios and the ending, nothing of the hidden split."""
    if experiment is None:
        return None
    seen = {"ended", "visible_effect", "speed_ratio", "memory_ratio", "kappa", "equal_time_effect", "promising"}
    screened = [pair.model_dump(mode="json") for pair in experiment.pairs if pair.stage == "screen"]
    return experiment.model_dump(mode="json", include=seen) | {"pairs": screened}
