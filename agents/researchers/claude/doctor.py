"""What `circle doctor` asks a model's server, and which fallback is used for what it cannot do.

Anthropic's own server is only asked to count tokens, which costs nothing; another one gets three short questions.
"""

from __future__ import annotations

from typing import Any

from agents.errors import CircleError
from agents.plain_text import plain
from agents.researchers.claude.conversation import holds_an_object
from agents.researchers.claude.dialect import Dialect
from agents.researchers.claude.server import HOME, address, connect
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

    try:
        client = connect(model.silence_seconds)
        counts = _counts(client, model.name)
        if address() == HOME:
            if not counts:
                raise CircleError(f"{HOME} did not count the tokens of a request to {model.name}: check key and name.")
            return f"{model.name} at {HOME}: {Dialect().described}; it counts tokens"
        schema, tool, caches = (_tries(client, model.name, **extra) for extra in _questions())
    except anthropic.AnthropicError as error:
        raise CircleError(f"{model.name} at {address()} does not answer: {plain(str(error), 200)}.") from error
    dialect = Dialect(
        replies="schema" if _json(schema) else "tool" if _uses_tool(tool) else "text",
        tools=tool is not None,
        editor=False,
        caching=caches is not None,
    )
    if schema is None and tool is None and caches is None:
        raise CircleError(f"{model.name} at {address()} refuses every request.")
    counted = "counts tokens" if counts else "does not count tokens: a request's bytes bound them"
    cached = "it reports a cache" if _caches(caches) else "it reports no cache"
    return f"{model.name} at {address()}: {dialect.described}; it {counted}; {cached}"


def _questions() -> list[dict[str, Any]]:
    tool = {"name": "reply", "description": "Your reply.", "input_schema": _SCHEMA}
    block = {"type": "text", "text": _PADDING, "cache_control": {"type": "ephemeral"}}
    return [
        {"output_config": {"format": {"type": "json_schema", "schema": _SCHEMA}}},
        {"tools": [tool], "tool_choice": {"type": "tool", "name": "reply"}},
        {"system": [block]},
    ]


def _tries(client: Any, model: str, **extra: Any) -> Any:
    """The whole reply to a short question, or None where the server refuses it."""
    import anthropic

    try:
        with client.messages.stream(model=model, max_tokens=_MOST_TOKENS, messages=_ASKED, **extra) as stream:
            return stream.get_final_message()
    except (anthropic.BadRequestError, anthropic.UnprocessableEntityError):
        return None


def _counts(client: Any, model: str) -> bool:
    import anthropic

    try:
        return isinstance(client.messages.count_tokens(model=model, messages=_ASKED).input_tokens, int)
    except anthropic.APIStatusError:
        return False


def _json(message: Any) -> bool:
    words = (block.text for block in message.content if block.type == "text") if message else ()
    return holds_an_object("".join(words))


def _uses_tool(message: Any) -> bool:
    return message is not None and any(block.type == "tool_use" for block in message.content)


def _caches(message: Any) -> bool:
    usage = message.usage if message else None
    return bool(usage and (usage.cache_creation_input_tokens or usage.cache_read_input_tokens))
