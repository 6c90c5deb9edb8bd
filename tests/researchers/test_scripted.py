"""The scripted researcher: in order, of the right type, or a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.errors import ReplyRefused, UsageError
from agents.ports import Question
from agents.records import Analysis, Revision
from agents.researchers import open_researcher
from agents.settings import load_target
from tests.commands import TARGETS, analysis, revision

TARGET = load_target(TARGETS / "plain")


def question(skill: str) -> Question:
    """Return a question to a skill."""
    return Question(skill=skill, template="any", context={}, text="?")


def test_replies_come_in_order_and_go_on_where_they_stopped(tmp_path: Path) -> None:
    file = tmp_path / "script.json"
    replies = [{"skill": skill, "reply": reply} for skill, reply in (analysis("One."), revision("Two."))]
    file.write_text(json.dumps({"replies": replies}))
    first = open_researcher(f"scripted:{file}", TARGET)
    assert first.ask(question("experiment-analyzer"), Analysis).reason == "One."
    resumed = open_researcher(f"scripted:{file}", TARGET, answered=1)
    assert resumed.ask(question("idea-revisor"), Revision).change == "Two."
    with pytest.raises(ReplyRefused, match="no reply left"):
        resumed.ask(question("idea-revisor"), Revision)
    with pytest.raises(ReplyRefused, match="is for idea-revisor"):
        first.ask(question("experiment-analyzer"), Analysis)


def test_a_reply_of_another_type_is_refused_with_the_field(tmp_path: Path) -> None:
    file = tmp_path / "script.json"
    file.write_text(json.dumps({"replies": [{"skill": "experiment-analyzer", "reply": {"reson": "typo"}}]}))
    with pytest.raises(ReplyRefused, match="reason"):
        open_researcher(f"scripted:{file}", TARGET).ask(question("experiment-analyzer"), Analysis)


@pytest.mark.parametrize("text", ["", "[]", '{"replies": 1}', '{"replies": [{"skill": "x"}]}'])
def test_a_file_that_is_no_script_is_told_in_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "script.json"
    file.write_text(text)
    with pytest.raises(UsageError):
        open_researcher(f"scripted:{file}", TARGET)
