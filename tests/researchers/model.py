"""A model for tests: it answers by the skill that it is asked for, with what the test wrote for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.messages import Answer, Request, text

Part = Answer | dict[str, Any] | Callable[[Request], Answer]


def asked(request: Request) -> str:
    """Return the question that a request's conversation began with."""
    return str(request["messages"][0]["content"])


def kind(request: Request) -> str:
    """Return which question it is: plan, implement, review, analyse or revise."""
    return asked(request).split()[0].lower().replace("explain", "analyse").replace("say", "revise")


def last(request: Request) -> str:
    """Return the text of the newest message: a question, a tool's result, or what was wrong with a reply."""
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else str(content[0].get("content", ""))


class Model:
    """Gives the parts that were written for each kind of question, in order; a dict is a reply as JSON."""

    def __init__(self, **parts: list[Part]) -> None:
        self._parts: dict[str, Iterator[Part]] = {name: iter(found) for name, found in parts.items()}

    def __call__(self, request: Request) -> Answer:
        part = next(self._parts[kind(request)])
        if isinstance(part, dict):
            return text(json.dumps(part))
        return part(request) if callable(part) else part
