"""A researcher without a model, for any target: values of the flags that are there already, chosen by Optuna.

The space is [search] of circle.toml. Each proposal follows from what was measured before it alone, so that a session
that is resumed or replayed gets the same ones. Optuna: Akiba et al. 2019, arXiv 1907.10902; its sampler, TPE: Bergstra
et al. 2011, "Algorithms for Hyper-Parameter Optimization".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agents.errors import ReplyRefused, UsageError
from agents.ports import Question, Reply
from agents.records import Change, FlagValue, Idea, Plan, Revision, Tried, digest
from agents.researchers.nobody import Nobody
from agents.settings import Dimension, Target, flag_value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Values = dict[str, FlagValue]
_ASKS = 200
_RANDOM_FIRST = 4


class Search:
    """Proposes values within the target's [search]; the verdicts on them are its only guide."""

    name = "search"

    def __init__(self, target: Target) -> None:
        if not target.search:
            raise UsageError(
                "circle.toml has no [search], in which a search could look for values: circle init drafts one, and "
                "--researcher names somebody else."
            )
        self._target = target

    def idea(self, text: str, tried: Sequence[Tried]) -> Idea:
        """Return the search over the flags that a person's words name, or over all; raise UsageError if none is."""
        names = self._named(text)
        if text and not names:
            known = ", ".join(self._target.search)
            raise UsageError(f"{text!r} names no flag of [search] in circle.toml; it has: {known}.")
        wanted = names or tuple(self._target.search)
        return Idea(text=text or f"Search for better values of {', '.join(wanted)}", name="-".join(wanted)[:48])

    def ideas(self, tried: Sequence[Tried]) -> tuple[Idea, ...]:
        """Return a search over each flag by itself."""
        return tuple(self.idea(f"Search for a better {name}", tried) for name in self._target.search)

    def ask(self, question: Question, reply: type[Reply]) -> Reply:
        """Answer by the type of the reply; raise ReplyRefused for a plan where no value is left to try."""
        if reply is Change:
            words = question.context["version"]["plan"]["title"]
            return reply.model_validate({"diff": "", "summary": f"{words}: flags alone, no code changes."})
        if reply is Revision:
            return reply.model_validate(self._revision(question.context))
        if reply is Plan:
            return reply.model_validate(self._plan(question.context))
        return Nobody().ask(question, reply)

    def _named(self, text: str) -> tuple[str, ...]:
        return tuple(
            name for name in self._target.search if re.search(rf"(?<![\w.-]){re.escape(name)}(?!\.?[\w-])", text)
        )

    def _space(self, context: Mapping[str, Any]) -> dict[str, Dimension]:
        """What this idea searches: not what stands already, in both arms."""
        standing = {flag["name"] for flag in context.get("standing", ())}
        wanted = self._named(context["idea"]["text"]) or tuple(self._target.search)
        return {name: self._target.search[name] for name in wanted if name not in standing}

    def _plan(self, context: Mapping[str, Any]) -> dict[str, Any]:
        space, results = self._space(context), _results(context)
        values = propose(space, results)
        if values is None:
            raise ReplyRefused("No value is left to try in [search] of circle.toml: widen it.")
        words = ", ".join(f"{name} {value}" for name, value in values.items())
        method = f"Flags alone: {words}. Proposed after {len(results)} earlier results, and the baseline."
        if context["rejection"]:
            method += f" A person rejected the version before it: {context['rejection']}"
        return {
            "title": words,
            "hypothesis": f"With {words}, {self._target.metric.name} is better than the baseline's.",
            "method": method,
            "flags": [{"name": name, "default": space[name].default, "value": value} for name, value in values.items()],
            "criteria": "The session's rule of proof.",
            "source": "Optuna's TPE over [search] of circle.toml (arXiv 1907.10902).",
        }

    def _revision(self, context: Mapping[str, Any]) -> dict[str, Any]:
        values = propose(self._space(context), _results(context))
        if values is None:
            return {"exhausted": True, "change": "no value is left to try in [search] of circle.toml."}
        words = ", ".join(f"{name} {value}" for name, value in values.items())
        return {"exhausted": False, "change": f"what was measured makes {words} the next values to try."}


def propose(space: Mapping[str, Dimension], results: Sequence[tuple[Values, float | None]]) -> Values | None:
    """Return values that differ from the defaults, other than any that were tried; None if there are none to be found.

    `results` are what was tried before: the values that were not the defaults, and the gain. A failure, which has None,
    is as bad as the worst; what was tried together with flags of no dimension here says nothing of these alone.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    defaults = {name: dimension.default for name, dimension in space.items()}
    places = {name: _distribution(dimension) for name, dimension in space.items()}
    seed = int(digest([sorted(space), [[sorted(values.items()), gain] for values, gain in results]])[:8], 16)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=_RANDOM_FIRST)
    )
    known = [defaults]
    own = [(values, gain) for values, gain in results if values.keys() <= space.keys()]
    worst = min((gain for _, gain in own if gain is not None), default=0.0)
    for values, gain in [(Values(), 0.0), *own]:
        point = defaults | {name: value for name, value in values.items() if name in space}
        known.append(point)
        value = min(worst, 0.0) if gain is None else gain
        with suppress(ValueError):  # of a value that lies outside the space
            study.add_trial(optuna.create_trial(params=point, distributions=places, value=value))
    for _ in range(_ASKS):
        asked = study.ask(places)
        point = {name: _rounded(asked.params[name]) for name in space}
        if point not in known:
            return {name: value for name, value in point.items() if value != defaults[name]}
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
    return None


def _distribution(dimension: Dimension) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.choices:
        return CategoricalDistribution(dimension.choices)
    assert dimension.low is not None and dimension.high is not None
    if isinstance(dimension.default, int):
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _rounded(value: FlagValue) -> FlagValue:
    """A fraction with three digits, as a person would write it."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _results(context: Mapping[str, Any]) -> list[tuple[Values, float | None]]:
    """What earlier sessions and earlier versions of this one tried, with their gains."""
    earlier = [(_values(tried["flags"]), tried["screened"]) for tried in context["tried"]]
    return earlier + [
        ({flag["name"]: flag["value"] for flag in version["plan"]["flags"]}, version["gain"])
        for version in context["versions"]
    ]


def _values(words: Sequence[str]) -> Values:
    return {name: flag_value(value) for name, _, value in (word.partition("=") for word in words)}
