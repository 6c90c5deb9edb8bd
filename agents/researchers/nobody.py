"""Nobody: for a person's own diff, which needs no plan, no words and no successor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.errors import ReplyRefused, UsageError
from agents.ports import Question, Reply
from agents.records import Analysis, Idea, Review, Revision, Tried


class Nobody:
    """Lets the mechanical review stand, says the verdict's finding again, and knows no next version."""

    name = "none"

    def idea(self, text: str, tried: Sequence[Tried]) -> Idea:
        """Raise UsageError: an idea needs someone who can make a diff of it."""
        raise UsageError("Without a researcher there is only a diff of your own: circle judge --patch FILE --flags …")

    def ideas(self, tried: Sequence[Tried]) -> tuple[Idea, ...]:
        """Return none."""
        return ()

    def ask(self, question: Question, reply: type[Reply]) -> Reply:
        """Answer what needs no thought; raise ReplyRefused for a plan or a change."""
        if reply is Review:
            return reply.model_validate({"passed": True})
        if reply is Analysis:
            return reply.model_validate(_analysis(question.context["verdict"]))
        if reply is Revision:
            return reply.model_validate({"exhausted": True, "change": "nobody but its author revises this diff."})
        raise ReplyRefused(f"Without a researcher nobody can answer a {question.skill}'s question.")


def _analysis(verdict: dict[str, Any]) -> dict[str, Any]:
    """Put the arithmetic's finding into words, with what the curves show, and say what each cause asks for next."""
    meaning, lesson = {
        "theory": (
            "The mathematics does not give the model what the hypothesis promised at this scale.",
            "more of the same will not do; the next version needs another mechanism",
        ),
        "system": (
            "The mathematics helps, but its cost in time or memory is more than the help is worth.",
            "the next version must keep the gain at less cost",
        ),
        "noise": (
            "The effect, if there is one, is smaller than what these runs can tell from chance.",
            "the next version needs a larger effect, or the question more pairs than it is worth",
        ),
        "implementation": (
            "The change did not do what the plan says, so the idea itself was not tested.",
            "write it again before anything is concluded about the idea",
        ),
        None: (
            "The gain held on fresh seeds, in a confirmation that was fixed before its first run.",
            "the mechanism is worth building on at this scale",
        ),
    }[verdict["cause"]]
    value = "" if verdict["value"] is None else f" of {verdict['value']:.4g}"
    return {
        "reason": " ".join([meaning, *verdict["diagnosis"]]),
        "lessons": [f"{verdict['quantity'].capitalize()}{value}: {lesson}."],
    }
