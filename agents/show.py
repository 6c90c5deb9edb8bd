"""A session as one JSON document: what `circle show --json` prints."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agents.leaves import Leaves
from agents.records import Version
from agents.state import baseline_of, spend_of, versions_of

if TYPE_CHECKING:
    from agents.session import Opened, Status

_OMITTED = {"brought", "refused", "tip"}
_OF_THE_HIDDEN_SPLIT = ("effect", "ci", "t", "cohens_d", "worst_seed", "skewness")
_HIDDEN_LEAF = re.compile(rf"versions\.\d+\.experiment\.(pairs|{'|'.join(_OF_THE_HIDDEN_SPLIT)})(\.|$)")


def document(opened: Opened) -> dict[str, Any]:
    """Return the whole session; hidden-split numbers of versions that failed only after its end."""
    session, state, status = opened.session, opened.state(), opened.status()
    floor = baseline_of(state)
    ended = has_ended(status)
    return {
        "id": session.id,
        "status": status,
        "started_at": session.started_at,
        "idea": session.idea.text,
        "target": {"path": session.target, "commit": session.base},
        "researcher": session.researcher,
        "model": session.model or None,
        "preset": session.preset,
        "train_tokens": session.train_tokens,
        "sandbox": session.sandbox,
        "self_reported_metric": session.self_reported_metric,
        "baseline": floor.model_dump(mode="json") if floor else None,
        "versions": [_version(version, ended=ended) for version in versions_of(state)],
        "victory": _won(opened, state.get("victory")),
        "conclusion": state.get("conclusion"),
        "campaign": session.campaign or None,
        "standing": [flag.model_dump(mode="json") for flag in session.standing],
        "held": _waits(opened),
        "approve_scope": list(session.approve_scope),
        "scope_by": session.scope_by or None,
        "error": opened.summary().error if status == "failed" else None,
        "budget": session.budget.model_dump(mode="json"),
        "spend": spend_of(state).model_dump(mode="json") | _model_usage(opened),
    }


def _model_usage(opened: Opened) -> dict[str, Any]:
    """What a model's calls have used up to now, whatever step they are for."""
    from agents.ledger import used

    if not opened.session.model:
        return {}
    with opened.journal() as journal:
        return used(journal).model_dump(mode="json")


def _won(opened: Opened, victory: dict[str, Any] | None) -> dict[str, Any] | None:
    """The victory with its checkpoint where it lies on this machine."""
    if not victory or not victory["checkpoint"]:
        return victory
    file = opened.home.folder / victory["checkpoint"]
    return victory | {"checkpoint": str(file) if file.exists() else ""}


def _waits(opened: Opened) -> str | None:
    """Say what a session of a campaign waits for, and how it goes on."""
    held, name = opened.held(), opened.session.campaign
    if held is None:
        return None
    turn = "its confirmation" if held.held == "confirmation" else "its next version"
    return f"version {held.version} waits for {turn} in campaign {name}: circle campaign --resume {name}"


def has_ended(status: Status) -> bool:
    """Whether a session that stands so has ended, and its hidden numbers may be seen."""
    return status in ("victory", "concluded")


def open_leaves(leaves: Leaves) -> Leaves:
    """Return a state's leaves without those that may come from the hidden split."""
    return {path: leaf for path, leaf in leaves.items() if not _HIDDEN_LEAF.match(path)}


def _version(version: Version, *, ended: bool) -> dict[str, Any]:
    shown = version.model_dump(mode="json", exclude=_OMITTED)
    patch = shown.pop("patch") or {}
    shown |= {key: patch.get(key) for key in ("branch", "commit", "diff_sha256", "files")}
    shown["flags"] = " ".join(f"--{flag.name} {_word(flag.value)}" for flag in version.plan.flags)
    won = version.verdict is not None and version.verdict.outcome == "win"
    if shown["experiment"] and not ended and not won:
        shown["experiment"] = _without_hidden(shown["experiment"])
    if shown["experiment"] and version.experiment:
        checks = {
            name: [result.model_dump(mode="json") | {"finding": result.finding} for result in results]
            for name, results in (("ablations", version.experiment.ablations), ("scales", version.experiment.scales))
        }
        shown["experiment"] = _with_plain_ratios(shown["experiment"]) | checks
    return shown


def _word(value: object) -> str:
    """A value as a command line takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _with_plain_ratios(experiment: dict[str, Any]) -> dict[str, Any]:
    """Give the measured means as numbers, and their 80 % intervals beside them."""
    plain: dict[str, Any] = {}
    for name in ("visible_effect", "speed_ratio", "equal_time_effect"):
        interval = experiment[name]
        plain[name] = interval and interval["mean"]
        plain[f"{name}_ci"] = interval and [interval["low"], interval["high"]]
    return experiment | plain


def _without_hidden(experiment: dict[str, Any]) -> dict[str, Any]:
    """Blank what comes from the hidden split, so that nobody can steer by it while the session runs."""
    pairs = [
        pair if pair["stage"] == "screen" else pair | {"baseline": None, "experiment": None}
        for pair in experiment["pairs"]
    ]
    confirmed = any(pair["stage"] != "screen" for pair in pairs)
    blank = dict.fromkeys(_OF_THE_HIDDEN_SPLIT) if confirmed else {}
    return experiment | {"pairs": pairs} | blank
