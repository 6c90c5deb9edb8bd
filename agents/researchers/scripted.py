"""A researcher that reads its replies from a JSON file, in order: for tests, demos and teaching."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agents.errors import ReplyRefused, UsageError
from agents.ports import Question, Reply
from agents.records import Idea, Tried
from agents.session import slug


class Scripted:
    """Answers with {"replies": [{"skill": name, "reply": {...}}, ...]}; `answered` of them were given before."""

    def __init__(self, file: Path, answered: int = 0) -> None:
        self.name = f"scripted:{file}"
        self._file, self._next = file, answered
        self._replies = _read(file)

    def idea(self, text: str, tried: Sequence[Tried]) -> Idea:
        """Take a person's words as they are."""
        words = text or f"The idea of the script {self._file.stem}"
        return Idea(text=words, name=slug(words))

    def ideas(self, tried: Sequence[Tried]) -> tuple[Idea, ...]:
        """Return the one idea that the script is about."""
        return (self.idea("", tried),)

    def ask(self, question: Question, reply: type[Reply]) -> Reply:
        """Return the script's next reply; raise ReplyRefused if it is for another skill or of another type."""
        number = self._next + 1
        if number > len(self._replies):
            raise ReplyRefused(f"{self._file} has no reply left for {question.skill} ({question.template}).")
        entry = self._replies[self._next]
        if entry["skill"] != question.skill:
            raise ReplyRefused(
                f"Reply {number} of {self._file} is for {entry['skill']}, but {question.skill} "
                f"({question.template}) is asked now."
            )
        try:
            record = reply.model_validate(entry["reply"])
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ReplyRefused(
                f"Reply {number} of {self._file} is no {reply.__name__}: {where}: {first['msg'].lower()}."
            ) from error
        self._next = number
        return record


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"The script {file} cannot be read: {error}.") from error
    replies = document.get("replies") if isinstance(document, dict) else None
    if not isinstance(replies, list) or not all(
        isinstance(r, dict) and {"skill", "reply"} <= r.keys() for r in replies
    ):
        raise UsageError(f'The script {file} is not {{"replies": [{{"skill": …, "reply": …}}, …]}}.')
    return replies
