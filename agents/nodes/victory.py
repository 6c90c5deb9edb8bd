"""Victory: the checkpoint saved, the paper completed, the idea log's entry "Validated"."""

from __future__ import annotations

from langgraph.runtime import Runtime

from agents.ports import Context, Order, switched
from agents.records import Victory
from agents.report import documents
from agents.state import State, current


def victory(state: State, runtime: Runtime[Context]) -> State:
    """End the session with the confirmed version."""
    context, version = runtime.context, current(state)
    patch, experiment = version.patch, version.experiment
    assert patch is not None and experiment is not None
    assert experiment.effect is not None and experiment.ci is not None
    first = next(pair for pair in experiment.pairs if pair.stage == "confirm")
    tokens, flags = context.session.train_tokens, switched(context.session.standing, version.plan.flags)
    order = Order("experiment", "confirm", first.seed, patch.commit, tokens, flags=flags, splits=("hidden",))
    won = Victory(
        branch=patch.branch,
        commit=patch.commit,
        effect=experiment.effect,
        ci=experiment.ci,
        checkpoint=context.laboratory.keep_checkpoint(order),
        paper=documents.paper_path(context.session.idea),
        idea_log=documents.IDEA_LOG,
    )
    ended: State = {"victory": won.model_dump(mode="json"), "status": "victory"}
    written = documents.written({**state, **ended}, context, "Complete the paper and the idea log")
    context.report("victory", victory=won)
    return {**ended, **written}
