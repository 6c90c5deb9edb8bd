"""What a server understands of the Messages API, found out by asking: what it refuses or ignores is done without."""

from __future__ import annotations

from typing import Any, Literal

from agents.records import Record

Replies = Literal["schema", "tool", "text"]


class Dialect(Record):
    """How a server is spoken to.

    A typed reply is asked for as a structured output (`schema`), as the input of a tool that must be called (`tool`),
    or as JSON in the text. `editor` is Anthropic's own tool type; without it the same tool is described by its schema.
    Without `blocks` the instructions are one string.
    """

    replies: Replies = "schema"
    tools: bool = True
    editor: bool = True
    thinking: bool = True
    caching: bool = True
    blocks: bool = True

    def without(self, feature: str) -> Dialect:
        """Return the dialect that does without what a server refused; the same one if it uses no such thing."""
        if feature in ("schema", "forced"):
            return self.lower() if feature == "forced" or self.replies == "schema" else self
        changes: dict[str, Any] = {feature: False}
        if feature == "tools" and self.replies == "tool":
            changes["replies"] = "text"
        return self.model_copy(update=changes)

    def lower(self) -> Dialect:
        """Return the dialect that asks for typed replies in the next simpler way."""
        simpler: dict[Replies, Replies] = {"schema": "tool" if self.tools else "text", "tool": "text", "text": "text"}
        return self.model_copy(update={"replies": simpler[self.replies]})

    @property
    def described(self) -> str:
        """What is used, in words."""
        replies = {"schema": "structured outputs", "tool": "a forced tool", "text": "JSON in the text"}[self.replies]
        tools = "no tools: a diff in the reply" if not self.tools else "Anthropic's editor tool"
        if self.tools and not self.editor:
            tools = "tools by their schema"
        return f"typed replies by {replies}; {tools}; {'prompt caching' if self.caching else 'no prompt caching'}"
