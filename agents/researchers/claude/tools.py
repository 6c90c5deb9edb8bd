"""The tools that a model looks at code and writes it with. Each call gives a text; one that did nothing is an error.

Who only reads is given no tool that writes. Every path is checked by the desk, whatever the model was told by a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ConfigDict, ValidationError

from agents.errors import CircleError, EditRefused
from agents.plain_text import plain
from agents.ports import Desk
from agents.records import Record
from agents.skills import data

EDITOR = "str_replace_based_edit_tool"
_MOST_CHARACTERS, _MOST_HITS, _MOST_CHECKS = 24_000, 60, 8


class _View(Record):
    command: str
    path: str
    view_range: tuple[int, int] | None = None


class _Replace(Record):
    command: str
    path: str
    old_str: str
    new_str: str = ""


class _Create(Record):
    command: str
    path: str
    file_text: str


class _Insert(Record):
    command: str
    path: str
    insert_line: int
    insert_text: str


class _Search(Record):
    text: str


class _Words(Record):
    words: tuple[str, ...] = ()


class _Nothing(Record):
    model_config = ConfigDict(frozen=True, extra="ignore")


@dataclass
class Toolbox:
    """What one question's model may do. `remember` looks earlier sessions up; `once` keeps what a call gave.

    What files, logs and memory say comes back between marks with the `nonce`, with nothing in it that acts or hides.
    A planner has the same tools where it only reads, so that the code which it is shown is cached once. A repeated
    conversation must see the same results: edits give them by themselves, for the desk is laid anew.
    """

    desk: Desk | None
    nonce: str
    writes: bool
    remember: Callable[[Sequence[str]], str] | None
    once: Callable[[str, Callable[[], str]], str]
    checks: int = field(default=0, init=False)
    calls: int = field(default=0, init=False)

    def definitions(self, *, editor: bool) -> list[dict[str, Any]]:
        """Return the tools as a request describes them."""
        found: list[dict[str, Any]] = []
        if self.desk is not None:
            found.append({"type": "text_editor_20250728", "name": EDITOR} if editor else _EDITOR_BY_SCHEMA)
            found.append(_SEARCH)
        if self.remember is not None:
            found += [_MEMORY, _CHECK] if self.desk is not None else [_MEMORY]
        return found

    def call(self, name: str, arguments: Any) -> tuple[str, bool]:
        """Return what a call gives, and whether it is an error; nothing was done then."""
        self.calls += 1
        known = [str(tool["name"]) for tool in self.definitions(editor=False)]
        if name not in known:
            return f"There is no tool {plain(name, 60)!r}; there are: {', '.join(known) or 'none'}.", True
        if isinstance(arguments, dict):
            arguments = {key: value for key, value in arguments.items() if value is not None}
        try:
            found = self._calls[name](arguments)
            told = name != EDITOR or arguments.get("command") == "view"
            return (data(self.nonce, found) if told else found), False
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the arguments"
            return f"{where}: {first['msg']}. Nothing was done.", True
        except CircleError as error:
            return f"{error} Nothing was done.", True

    @property
    def _calls(self) -> dict[str, Callable[[Any], str]]:
        return {EDITOR: self._edit, "search": self._search, "check": self._check, "memory": self._memory}

    def _edit(self, arguments: Any) -> str:
        commands: dict[str, Callable[[Any], str]] = {
            "view": lambda given: self._view(_View.model_validate(given)),
            "str_replace": lambda given: self._replace(_Replace.model_validate(given)),
            "create": lambda given: self._create(_Create.model_validate(given)),
            "insert": lambda given: self._insert(_Insert.model_validate(given)),
        }
        command = arguments.get("command") if isinstance(arguments, dict) else None
        if not isinstance(command, str) or command not in commands:
            raise EditRefused(f"There is no command {plain(str(command), 60)!r}; there are: {', '.join(commands)}.")
        if command != "view" and not self.writes:
            raise EditRefused("Here the code is only read: it is written when the plan is implemented.")
        return commands[command](arguments)

    def _view(self, given: _View) -> str:
        desk = self._opened
        folder = "" if given.path in (".", "./", "") else given.path.removeprefix("./").rstrip("/")
        inside = [path for path in desk.files() if not folder or path.startswith(f"{folder}/")]
        if inside:
            marks = (f"{path}{'  (may be edited)' if desk.editable(path) else ''}" for path in inside)
            return _cut("\n".join(marks))
        lines = desk.read(given.path).split("\n")
        first, last = given.view_range or (1, len(lines))
        last = len(lines) if last == -1 else min(last, len(lines))
        if not 1 <= first <= last:
            raise EditRefused(f"{given.path} has the lines 1 to {len(lines)}.")
        numbered = (f"{number:>5}\t{lines[number - 1]}" for number in range(first, last + 1))
        return _cut("\n".join(numbered))

    def _replace(self, given: _Replace) -> str:
        text = self._opened.read(given.path)
        found = text.count(given.old_str) if given.old_str else 0
        if found != 1:
            raise EditRefused(f"old_str occurs {found} times in {given.path}, and must occur once: look at it again.")
        if given.old_str == given.new_str:
            raise EditRefused("old_str and new_str are the same.")
        at = text[: text.index(given.old_str)].count("\n") + 1
        self._opened.write(given.path, text.replace(given.old_str, given.new_str))
        return f"Replaced at line {at} of {given.path}."

    def _create(self, given: _Create) -> str:
        self._opened.write(given.path, given.file_text)
        return f"Wrote {given.path}, {given.file_text.count(chr(10)) + 1} lines."

    def _insert(self, given: _Insert) -> str:
        lines = self._opened.read(given.path).split("\n")
        if not 0 <= given.insert_line <= len(lines):
            raise EditRefused(f"{given.path} has {len(lines)} lines, so nothing can follow line {given.insert_line}.")
        new = given.insert_text.removesuffix("\n").split("\n")
        self._opened.write(given.path, "\n".join([*lines[: given.insert_line], *new, *lines[given.insert_line :]]))
        return f"Inserted after line {given.insert_line} of {given.path}."

    def _search(self, arguments: Any) -> str:
        sought = _Search.model_validate(arguments).text
        hits: list[str] = []
        for path in self._opened.files():
            try:
                lines = self._opened.read(path).split("\n")
            except EditRefused:
                continue  # no text
            hits += [f"{path}:{number}: {line}" for number, line in enumerate(lines, 1) if sought in line]
        shown = [plain(hit, 300) for hit in hits[:_MOST_HITS]]
        return "\n".join([*shown, f"{len(hits)} lines, {len(shown)} shown."])

    def _check(self, arguments: Any) -> str:
        _Nothing.model_validate(arguments)
        if not self.writes:
            raise EditRefused("There is nothing to be checked yet: code is written when the plan is implemented.")
        self.checks += 1
        if self.checks > _MOST_CHECKS:
            raise EditRefused(f"{_MOST_CHECKS} checks were made, and there are no more: hand in what you have.")
        written = hashlib.sha256(self._opened.diff().encode(errors="replace")).hexdigest()
        return self.once(f"check {written}", self._opened.check)

    def _memory(self, arguments: Any) -> str:
        words, remember = _Words.model_validate(arguments).words, self.remember
        assert remember is not None
        return self.once(f"memory {self.calls}", lambda: _cut(remember(words)))

    @property
    def _opened(self) -> Desk:
        assert self.desk is not None
        return self.desk


def _cut(text: str) -> str:
    if len(text) <= _MOST_CHARACTERS:
        return text
    return f"{text[:_MOST_CHARACTERS]}\n… ({len(text) - _MOST_CHARACTERS} more characters: ask for a part of it)"


def _tool(name: str, description: str, **properties: Any) -> dict[str, Any]:
    required = [key for key, value in properties.items() if not value.pop("optional", False)]
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"name": name, "description": description, "input_schema": schema}


_SEARCH = _tool(
    "search",
    "Find the lines of all files of the repository that hold this text.",
    text={"type": "string"},
)
_CHECK = _tool(
    "check",
    "Check what you have written: does it compile, what does the mechanical review find, does a run of about ten steps "
    f"with the flags on end well? At most {_MOST_CHECKS} times.",
)
_MEMORY = _tool(
    "memory",
    "Look up what earlier sessions on this repository tried, with outcome, cause and lessons: entries that hold all of "
    "these words, or all entries.",
    words={"type": "array", "items": {"type": "string"}, "optional": True},
)
_EDITOR_BY_SCHEMA = _tool(
    EDITOR,
    "View a file or folder, replace a text that occurs exactly once in a file, insert after a line, or write a file.",
    command={"type": "string", "enum": ["view", "str_replace", "create", "insert"]},
    path={"type": "string", "description": "relative to the repository's root"},
    view_range={"type": "array", "items": {"type": "integer"}, "optional": True},
    old_str={"type": "string", "optional": True},
    new_str={"type": "string", "optional": True},
    file_text={"type": "string", "optional": True},
    insert_line={"type": "integer", "optional": True},
    insert_text={"type": "string", "optional": True},
)
