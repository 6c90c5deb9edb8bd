"""A reply put together from its stream of events, whatever a server leaves out or adds.

The SDK's own accumulator takes every event to be complete; servers of one's own send replies without a usage, without a
start of a block, or whole as one JSON document. What holds no message at all is told as a ValueError.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

LONGEST = 8_000_000
"""Characters of a reply: far more than any model's largest, so that no server can fill the memory."""
_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
"""Reasons to stop as other APIs call them, which some servers pass on."""


class TooLong(Exception):
    """The reply does not end."""


class Message:
    """What has come of a reply; `begun` once anything has."""

    def __init__(self) -> None:
        self.begun = False
        self.usage: dict[str, Any] = {}
        self.stop_reason: str | None = None
        self._blocks: dict[int, dict[str, Any]] = {}
        self._inputs: dict[int, list[str]] = {}
        self._length = 0

    def add(self, event: dict[str, Any]) -> None:
        """Take up an event; raise TooLong if the reply does not end."""
        kind = event.get("type")
        self.begun = self.begun or kind in ("message_start", "content_block_start", "content_block_delta")
        if kind == "message_start":
            asked = _dict(event, "message").get("usage")
            self._count({**asked, "output_tokens": None} if isinstance(asked, dict) else None)
        elif kind == "content_block_start":
            self._blocks[_index(event)] = dict(_dict(event, "content_block"))
        elif kind == "content_block_delta":
            self._extend(_index(event), _dict(event, "delta"))
        elif kind == "message_delta":
            self._count(event.get("usage"))
            self.stop_reason = _dict(event, "delta").get("stop_reason") or self.stop_reason

    def whole(self, body: Any) -> None:
        """Take up a reply that came whole, as one JSON document; raise ValueError if it is no message."""
        if not isinstance(body, dict) or not isinstance(body.get("content"), list):
            raise ValueError("it is no message of the Messages API")
        self.begun, self.stop_reason = True, body.get("stop_reason")
        self._count(body.get("usage"))
        self._blocks = dict(enumerate(block for block in body["content"] if isinstance(block, dict)))

    def body(self) -> dict[str, Any]:
        """Return the reply as the API's JSON; raise ValueError if a block of it cannot be used."""
        for index, pieces in self._inputs.items():
            self._blocks[index]["input"] = json.loads("".join(pieces) or "{}")
        content = [_encodable(block) for _, block in sorted(self._blocks.items())]
        for block in content:
            if block.get("type") == "tool_use":
                block.setdefault("input", {})
            needed = {"text": ("text",), "tool_use": ("id", "name")}.get(str(block.get("type")), ())
            if not isinstance(block.get("type"), str) or not all(isinstance(block.get(name), str) for name in needed):
                raise ValueError("a block of it lacks what blocks of its type have")
        reason = self.stop_reason and _STOPS.get(self.stop_reason, self.stop_reason)
        return {"role": "assistant", "content": content, "stop_reason": reason, "usage": self.usage}

    def _count(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self.usage |= {name: value for name, value in usage.items() if value is not None}

    def _extend(self, index: int, delta: dict[str, Any]) -> None:
        kind = str(delta.get("type", "")).removesuffix("_delta")
        field = {"input_json": "partial_json"}.get(kind, kind)
        piece = delta.get(field)
        if not isinstance(piece, str):
            return
        self._length += len(piece)
        if self._length > LONGEST:
            raise TooLong
        if kind == "input_json":
            self._blocks.setdefault(index, {"type": "tool_use"})
            self._inputs.setdefault(index, []).append(piece)
            return
        block = self._blocks.setdefault(index, {"type": kind})
        block[field] = str(block.get(field) or "") + piece


def events(stream: Iterable[Any]) -> Iterable[dict[str, Any]]:
    """Give the events of the SDK's stream as plain JSON."""
    for event in stream:
        found = event.model_dump(mode="json", warnings=False) if hasattr(event, "model_dump") else event
        if isinstance(found, dict):
            yield found


def _encodable(value: Any) -> Any:
    """Return JSON whose texts can be sent back: half of a surrogate pair cannot."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_encodable(name): _encodable(each) for name, each in value.items()}
    return [_encodable(each) for each in value] if isinstance(value, list) else value


def _dict(event: dict[str, Any], name: str) -> dict[str, Any]:
    found = event.get(name)
    return found if isinstance(found, dict) else {}


def _index(event: dict[str, Any]) -> int:
    found = event.get("index")
    return found if isinstance(found, int) else 0
