"""The picture: one research session as a LangGraph graph.

    START -> baseline -> planner -> implementer -> reviewer -> approval -> regression -> experiment -> analyzer
    analyzer -> robustness -> victory -> END        beaten, and confirmed by fresh seeds on hidden data
    analyzer -> revisor -> planner                  not beaten: the circle
    reviewer, regression, analyzer -> implementer   a bug: repair, bounded; the same diff again is none
    approval -> planner                             a person rejected the diff; their words go along
    approval -> reviewer                            a person edited the diff: it is another one now
    any -> conclude -> END                          the budget is spent, the idea exhausted, a model out of answers

Node order exists only here. A node takes the state and the session's Context and returns what changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from agents import budget
from agents.errors import Halted
from agents.nodes.analyzer import analyzer, repairable
from agents.nodes.approval import approval
from agents.nodes.baseline import baseline
from agents.nodes.conclude import conclude
from agents.nodes.experiment import experiment
from agents.nodes.implementer import attempts_left, implementer, unrepaired
from agents.nodes.planner import planner
from agents.nodes.regression import regression
from agents.nodes.reviewer import reviewer
from agents.nodes.revisor import revisor
from agents.nodes.robustness import robustness
from agents.nodes.victory import victory
from agents.ports import Context
from agents.state import State, current

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph

Route = Callable[[State], str]


def after_baseline(state: State) -> str:
    """A diff that the person brought goes straight to the reviewer."""
    if state.get("baseline") is None:
        return "conclude"
    return "reviewer" if state.get("versions") else "planner"


def after_planning(state: State) -> str:
    """A plan is written down as code, unless its researcher cannot go on."""
    return "conclude" if state.get("halted") else "implementer"


def after_implementation(state: State) -> str:
    """The same diff again is not reviewed again: what it failed by stands."""
    if state.get("halted"):
        return "conclude"
    return "analyzer" if unrepaired(current(state)) else "reviewer"


def after_review(state: State) -> str:
    """Only a diff that passed is shown for approval."""
    version = current(state)
    if version.review and version.review.passed:
        return "approval"
    return "implementer" if attempts_left(version) else "analyzer"


def after_approval(state: State) -> str:
    """Only what a person (or --turbo) approved is trained; a writer's own check of ten steps needs the sandbox."""
    decision = current(state).approval
    if decision is None:
        return "reviewer"
    if decision.decision == "approved":
        return "regression"
    return "conclude" if budget.no_more_versions(state) else "planner"


def after_regression(state: State) -> str:
    """Only a version that leaves the baseline alone is compared with it."""
    version = current(state)
    if version.regression and version.regression.passed:
        return "experiment"
    return "implementer" if attempts_left(version) else "analyzer"


def after_analysis(state: State) -> str:
    """A win ends the session; anything else goes round."""
    version = current(state)
    if version.verdict and version.verdict.outcome == "win":
        return "robustness"
    if repairable(version) and not unrepaired(version):
        return "implementer"
    return "conclude" if budget.no_more_versions(state) else "revisor"


def after_revision(state: State) -> str:
    """V-Next is planned unless there is none."""
    revision = current(state).revision
    return "conclude" if revision is None or revision.exhausted else "planner"


def within_budget(route: Route) -> Route:
    """Let a route decide only while the budget allows; a win that is already paid for is never thrown away."""

    def decide(state: State) -> str:
        if state.get("halted"):
            return "conclude"
        following = route(state)
        return following if following == "robustness" or not budget.exhausted(state) else "conclude"

    decide.__name__ = route.__name__
    return decide


def _timed(node: Callable[..., State]) -> Callable[..., Any]:
    """Let a node's update carry its number and what the session has used; one that cannot go on only says why."""

    def step(state: State, runtime: Runtime[Context]) -> State:
        context = runtime.context
        context.report("node", name=node.__name__)
        try:
            update = node(state, runtime)
        except Halted as halted:
            update = {"halted": str(halted)}
        number = state.get("step", 0) + 1
        moment = f"step {number}"
        used = context.usage(moment).model_dump(mode="json")
        own: State = {"step": number, "node": node.__name__}
        return {**update, **own, "wall_seconds": context.clock.elapsed(moment), "usage": used}

    step.__name__ = node.__name__
    return step


def graph() -> CompiledStateGraph[Any, Any, Any, Any]:
    """Return the graph without a checkpointer: the factory that langgraph.json names."""
    return build_graph()


def build_graph(checkpointer: BaseCheckpointSaver[Any] | None = None) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Return the compiled graph."""
    builder = StateGraph(State, context_schema=Context)
    for node in (
        baseline,
        planner,
        implementer,
        reviewer,
        approval,
        regression,
        experiment,
        analyzer,
        revisor,
        robustness,
        victory,
        conclude,
    ):
        builder.add_node(node.__name__, _timed(node))

    def branch(source: str, route: Route, *targets: str) -> None:
        builder.add_conditional_edges(source, within_budget(route), [*targets, "conclude"])

    builder.add_edge(START, "baseline")
    branch("baseline", after_baseline, "planner", "reviewer")
    builder.add_conditional_edges("planner", after_planning, ["implementer", "conclude"])
    builder.add_conditional_edges("implementer", after_implementation, ["reviewer", "analyzer", "conclude"])
    branch("reviewer", after_review, "approval", "implementer", "analyzer")
    branch("approval", after_approval, "regression", "planner", "reviewer")
    builder.add_conditional_edges("regression", after_regression, ["experiment", "implementer", "analyzer"])
    builder.add_edge("experiment", "analyzer")
    branch("analyzer", after_analysis, "robustness", "implementer", "revisor")
    branch("revisor", after_revision, "planner")
    builder.add_edge("robustness", "victory")
    builder.add_edge("victory", END)
    builder.add_edge("conclude", END)
    return builder.compile(checkpointer=checkpointer)
