"""What `circle doctor` asks a model's server, and which fallback is used for what it cannot do.

Anthropic's own server is only asked to count tokens, which costs nothing; another one gets three short questions.
"""

from __future__ import annotations

from typing import Any

from agents.errors import CircleError
from agents.plain_text import plain
from agents.researchers.claude.conversation import objects
from agents.researchers.claude.dialect import Dialect
from agents.researchers.claude.faults import Fault
from agents.researchers.claude.prices import FREE
from agents.researchers.claude.server import HOME, address, connect, counted_tokens, sent, shown_address
from agents.settings import Model

_SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}
_ASKED = [{"role": "user", "content": 'Reply with the JSON object {"ok": true} and nothing else.'}]
_PADDING = "This text only makes the request long enough to be cached. " * 400
_MOST_TOKENS = 256


def described(model: Model) -> str:
    """Return what the server can do, in words; raise CircleError if no model answers there."""
    import anthropic

    where = f"{model.name} at {shown_address()}"
    try:
        client = connect(model.silence_seconds)
    except anthropic.AnthropicError as error:
        raise CircleError(f"{where} cannot be asked: {plain(str(error), 200)}.") from error
    counts = counted_tokens(client, {"model": model.name, "messages": _ASKED}) is not None
    if address() == HOME:
        if not counts:
            raise CircleError(f"{where} did not count the tokens of a request: check the key and the model's name.")
        return f"{where}: {Dialect().described}; it counts tokens"
    replies = [_tries(client, model.name, **extra) for extra in _questions()]
    schema, tool, caches = ([] if isinstance(reply, Fault) else reply["content"] for reply in replies)
    failed = [reply for reply in replies if isinstance(reply, Fault)]
    if len(failed) == len(replies):
        raise CircleError(f"{where} does not answer: {failed[0].text}.")
    dialect = Dialect(
        replies="schema" if _json(schema) else "tool" if _uses_tool(tool) else "text",
        tools=not isinstance(replies[1], Fault),
        editor=False,
        caching=bool(caches),
    )
    counted = "counts tokens" if counts else "does not count tokens: a request's bytes bound them"
    cached = "it reports a cache" if _caches(replies[2]) else "it reports no cache"
    return f"{where}: {dialect.described}; it {counted}; {cached}"


def _questions() -> list[dict[str, Any]]:
    tool = {"name": "reply", "description": "Your reply.", "input_schema": _SCHEMA}
    block = {"type": "text", "text": _PADDING, "cache_control": {"type": "ephemeral"}}
    return [
        {"output_config": {"format": {"type": "json_schema", "schema": _SCHEMA}}},
        {"tools": [tool], "tool_choice": {"type": "tool", "name": "reply"}},
        {"system": [block]},
    ]


def _tries(client: Any, model: str, **extra: Any) -> dict[str, Any] | Fault:
    """The whole reply to a short question, or why there is none; a connection may break once."""
    request = {"model": model, "max_tokens": _MOST_TOKENS, "messages": _ASKED, **extra}
    ended, _ = sent(client, request, FREE)
    if ended.get("fault", {}).get("kind") == "again":
        ended, _ = sent(client, request, FREE)
    return ended["message"] if "message" in ended else Fault.model_validate(ended["fault"])


def _json(content: list[dict[str, Any]]) -> bool:
    return bool(objects("".join(block["text"] for block in content if block["type"] == "text")))


def _uses_tool(content: list[dict[str, Any]]) -> bool:
    return any(block["type"] == "tool_use" for block in content)


def _caches(reply: dict[str, Any] | Fault) -> bool:
    usage = {} if isinstance(reply, Fault) else reply["usage"]
    return any(usage.get(f"cache_{what}_input_tokens") for what in ("creation", "read"))
