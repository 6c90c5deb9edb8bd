"""One question to a model, until its reply is a record of the type that was asked for.

The model may use tools on the way. A reply that fails validation goes back with the error, twice at most. What a
server refuses or ignores is done without from then on: structured output, then a forced tool, then JSON in the text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import ValidationError

from agents.errors import Unanswered
from agents.plain_text import plain
from agents.ports import Reply
from agents.researchers.claude.dialect import Dialect
from agents.researchers.claude.server import Server, Unsupported
from agents.researchers.claude.tools import Toolbox

_REPAIRS, _MOST_ROUNDS = 2, 60
_REPLY = "reply"
_LONGER = 2
"""How many times as long a reply may be that was cut at its limit; cut again, it is not asked for any more."""
Block = dict[str, Any]


class ToolsMissing(Exception):
    """The server knows no tools, and the question was to be answered with them."""


class Spoken:
    """The dialect that a session has found out, shared by all its conversations."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect


@dataclass
class Conversation:
    """A question's messages; `system` is the text before them, whose last block ends what is cached."""

    server: Server
    spoken: Spoken
    subject: str
    system: list[str]
    toolbox: Toolbox
    messages: list[dict[str, Any]] = field(default_factory=list)
    _repairs: int = 0
    _factor: int = 1

    def ask(self, text: str, reply: type[Reply]) -> Reply:
        """Return the model's reply; raise Unanswered if there is none that can be used."""
        self._say(text)
        for _ in range(_MOST_ROUNDS):
            message = self._exchange(reply)
            content: list[Block] = message["content"]
            stopped = message["stop_reason"]
            if stopped == "max_tokens":
                self._lengthen()
                continue
            if stopped == "refusal":
                raise Unanswered(f"The model refused to answer {self.subject}.")
            if stopped not in ("end_turn", "tool_use", "stop_sequence"):
                raise Unanswered(f"The model stopped at {self.subject} by {plain(str(stopped), 60)!r}.")
            self.messages.append({"role": "assistant", "content": _sendable(content)})
            answer = self._read(content, reply)
            if answer is not None:
                return answer
        raise Unanswered(f"The model used {_MOST_ROUNDS} rounds of tools on {self.subject} and did not reply.")

    def _exchange(self, reply: type[Reply]) -> dict[str, Any]:
        while True:
            dialect = self.spoken.dialect
            try:
                return self.server.send(self._request(dialect, reply))
            except Unsupported as unsupported:
                without = (dialect.without(feature) for feature in unsupported.features)
                simpler = next((other for other in without if other != dialect), None)
                if simpler is None:
                    raise Unanswered(f"The server refuses the request: {unsupported}.") from unsupported
                self.spoken.dialect = simpler
                if dialect.tools and not simpler.tools and self.toolbox.writes:
                    raise ToolsMissing from unsupported

    def _request(self, dialect: Dialect, reply: type[Reply]) -> dict[str, Any]:
        tools = self.toolbox.definitions(editor=dialect.editor) if dialect.tools else []
        model = self.server.model
        request: dict[str, Any] = {
            "model": model.name,
            "max_tokens": model.max_output_tokens * self._factor,
            "system": [{"type": "text", "text": text} for text in self._instructions(dialect, reply)],
            "messages": self.messages,
        }
        if not dialect.blocks:
            request["system"] = "\n\n".join(block["text"] for block in request["system"])
        elif dialect.caching:
            for block in request["system"][: len(self.system)]:
                block["cache_control"] = {"type": "ephemeral", "ttl": "1h"}
            if tools and dialect.caching:
                request["cache_control"] = {"type": "ephemeral"}
        if dialect.thinking and dialect.replies != "tool":
            request["thinking"] = {"type": "adaptive"}
        if dialect.replies == "schema":
            request["output_config"] = {"format": {"type": "json_schema", "schema": _strict(reply)}}
        if dialect.replies == "tool":
            tools = [*tools, {"name": _REPLY, "description": "Your reply.", "input_schema": _schema(reply)}]
            forced = len(tools) == 1
            request["tool_choice"] = {"type": "tool", "name": _REPLY} if forced else {"type": "any"}
        if tools:
            request["tools"] = tools
        return request

    def _instructions(self, dialect: Dialect, reply: type[Reply]) -> list[str]:
        if dialect.replies == "tool":
            return [*self.system, f"Give your reply by the tool `{_REPLY}`."]
        if dialect.replies == "text":
            schema = json.dumps(_schema(reply))
            return [*self.system, f"Reply with one JSON object and nothing else. Its JSON schema: {schema}"]
        return self.system

    def _read(self, content: list[Block], reply: type[Reply]) -> Reply | None:
        """Return the record that a message is, or None after saying what comes next."""
        calls = [block for block in content if block["type"] == "tool_use"]
        given = next((call for call in calls if call["name"] == _REPLY), None)
        if given is not None:
            return self._validated(reply, [given["input"]], calls)
        if calls:
            self.messages.append({"role": "user", "content": [self._used(call) for call in calls]})
            return None
        text = "".join(block["text"] for block in content if block["type"] == "text")
        found = objects(text)
        if self.spoken.dialect.replies != "text" and not found:
            self.spoken.dialect = self.spoken.dialect.lower()
            self._say("The reply is no JSON object. Give it again, in the form that is asked for.")
            return None
        return self._validated(reply, found, [])

    def _validated(self, reply: type[Reply], bodies: list[Any], calls: list[Block]) -> Reply | None:
        """Return the first of these that is valid, or None after saying what is wrong with the first."""
        problems: list[str] = []
        for body in bodies:
            try:
                return reply.model_validate(body)
            except ValidationError as error:
                problems.append("; ".join(_problem(one) for one in error.errors()[:5]))
        problem = plain(problems[0], 1000) if problems else "it holds no JSON object"
        self._repairs += 1
        if self._repairs > _REPAIRS:
            raise Unanswered(f"The model gave no valid {reply.__name__} for {self.subject}, asked 3 times: {problem}.")
        words = f"This is no valid {reply.__name__}: {problem}. Give the whole reply again."
        if calls:
            self.messages.append({"role": "user", "content": [_result(call, words, failed=True) for call in calls]})
        else:
            self._say(words)
        return None

    def _used(self, call: Block) -> Block:
        text, failed = self.toolbox.call(call["name"], call["input"])
        return _result(call, text or "(nothing)", failed=failed)

    def _lengthen(self) -> None:
        """A reply that was cut at its limit is never read: it is asked for once more with more room."""
        if self._factor > 1:
            raise Unanswered(f"The model's reply to {self.subject} was cut at its limit twice.")
        self._factor = _LONGER

    def _say(self, text: str) -> None:
        self.messages.append({"role": "user", "content": text})


def _result(call: Block, text: str, *, failed: bool) -> Block:
    return {"type": "tool_result", "tool_use_id": call["id"], "content": text, "is_error": failed}


def _sendable(content: list[Block]) -> list[Block]:
    """The blocks of a reply as they go back: without what is null, or ours to know."""
    kept = [{name: value for name, value in block.items() if value is not None} for block in content]
    for block in kept:
        block.pop("parsed_output", None)
    said = [block for block in kept if block.get("type") != "text" or block["text"].strip()]
    return said or [{"type": "text", "text": "…"}]


def objects(text: str) -> list[dict[str, Any]]:
    """Return the JSON objects in a text, in order, but for those that were only thought aloud."""
    decoder, found = json.JSONDecoder(), []
    text = re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL)
    start = text.find("{")
    while start != -1:
        try:
            body, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):  # a number of thousands of digits is a ValueError of its own
            body, end = None, start + 1
        if isinstance(body, dict):
            found.append(body)
        start = text.find("{", end)
    return found


def _problem(error: Any) -> str:
    return f"{'.'.join(map(str, error['loc'])) or 'the reply'}: {error['msg']}"


@cache
def _schema(reply: type[Any]) -> dict[str, Any]:
    schema: dict[str, Any] = reply.model_json_schema()
    return schema


@cache
def _strict(reply: type[Any]) -> dict[str, Any]:
    from anthropic import transform_schema

    schema: dict[str, Any] = transform_schema(reply)
    return schema
