"""What a model's tools do, and refuse; servers that can do less; and what `circle doctor` finds out about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.desk import FolderDesk
from agents.errors import CircleError
from agents.journal import Journal
from agents.ports import Laboratory, Question
from agents.records import Analysis, Change
from agents.researchers.claude import Claude
from agents.researchers.claude.doctor import described
from agents.researchers.claude.tools import EDITOR, Toolbox
from agents.session import Home
from agents.settings import Model
from benchmarks.messages import Answer, MessagesServer, Request, Status, text, use
from tests.commands import diff_of, git
from tests.researchers.test_claude_faults import world


class NoLaboratory:
    """Nothing is trained for these tests."""


def laid(home: Home, folder: Path) -> FolderDesk:
    """A desk over the plain target's only commit."""
    base = home.workspace.head()
    target = world(Journal(folder / "journal.sqlite")).target
    laboratory: Laboratory = NoLaboratory()  # type: ignore[assignment]
    return FolderDesk.laid(folder / "desk", base, base, target, home.workspace, laboratory, None, None)


@pytest.fixture
def tools(home: Home, tmp_path: Path) -> Toolbox:
    return Toolbox(
        laid(home, tmp_path), "00ff", writes=True, remember=lambda words: f"{words}", once=lambda call, give: give()
    )


def edit(**arguments: Any) -> tuple[str, dict[str, Any]]:
    return EDITOR, arguments


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (edit(command="view", path="settings.py", view_range=[11, 12]), "   11\t    rate: float = 0.01\n   12\t"),
        (edit(command="view", path="."), "model.py  (may be edited)\nsettings.py  (may be edited)\ntrain.py"),
        (edit(command="view", path="train.py", view_range=[1, -1]), '    1\t"""Train once'),
        (edit(command="str_replace", path="model.py", old_str="NOISE = 0.5", new_str="NOISE = 0.4"), "line 8"),
        (edit(command="insert", path="model.py", insert_line=1, insert_text="# two"), "after line 1"),
        (edit(command="create", path="model.py", file_text="x = 1\n"), "Wrote model.py"),
        (("search", {"text": "NOISE ="}), "model.py:8: NOISE = 0.5\n1 lines, 1 shown."),
        (("memory", {"words": ["a"]}), "('a',)"),
        (("memory", {}), "()"),
    ],
)
def test_a_tool_does_what_it_says(tools: Toolbox, call: tuple[str, Any], words: str) -> None:
    """And an edit is in the diff."""
    before = tools.desk.diff() if tools.desk else ""
    result, failed = tools.call(*call)
    assert words in result and not failed
    told = call[0] != EDITOR or call[1]["command"] == "view"
    assert (result.startswith("<data 00ff>\n") and result.endswith("\n</data 00ff>")) == told
    assert tools.desk is not None and (tools.desk.diff() != before) == (result.startswith(("Rep", "Ins", "Wrote")))


@pytest.mark.parametrize(
    "call",
    [
        edit(command="str_replace", path="model.py", old_str="NOISE", new_str="N"),
        edit(command="str_replace", path="model.py", old_str="", new_str="N"),
        edit(command="str_replace", path="model.py", old_str="NOISE = 0.5", new_str="NOISE = 0.5"),
        edit(command="str_replace", path="missing.py", old_str="a", new_str="b"),
        edit(command="insert", path="model.py", insert_line=10_000, insert_text="x"),
        edit(command="insert", path="model.py", insert_line="many", insert_text="x"),
        edit(command="view", path="model.py", view_range=[90_000, -1]),
        edit(command="view", path="../../etc/passwd"),
        edit(command="view", path="/etc/passwd"),
        edit(command="view", path="sly"),
        edit(command="create", path="sly/x.py", file_text=""),
        edit(command="create", path="train.py", file_text=""),
        edit(command="create", path="evaluate.py", file_text=""),
        edit(command="create", path="circle.toml", file_text=""),
        edit(command="create", path=".git/config", file_text=""),
        edit(command="create", path="model.py/x", file_text=""),
        edit(command="create", path="model.py", file_text="x" * 500_000),
        edit(command="create", path="model.py", file_text="\ud800"),
        edit(command="create", path="model.py", file_text="x", mode="0777"),
        edit(command="undo_edit", path="model.py"),
        edit(path="model.py"),
        (EDITOR, ["model.py"]),
        ("bash", {"command": "ls"}),
        ("search", {"pattern": "x"}),
    ],
)
def test_an_edit_that_was_not_made_is_an_error(tools: Toolbox, call: tuple[str, Any]) -> None:
    """It says so, and the tree is as it was."""
    desk = tools.desk
    assert isinstance(desk, FolderDesk)
    (desk.folder / "sly").symlink_to("/etc")
    before = {file: file.read_bytes() for file in desk.folder.rglob("*") if file.is_file() and not file.is_symlink()}
    result, failed = tools.call(*call)
    assert failed and ("Nothing was done" in result or "There is no tool" in result)
    after = {file: file.read_bytes() for file in desk.folder.rglob("*") if file.is_file() and not file.is_symlink()}
    assert after == before and desk.diff() == ""


def test_who_only_reads_changes_nothing(tools: Toolbox) -> None:
    """A planner and a reviewer have the editor to look with."""
    tools.writes = False
    result, failed = tools.call(*edit(command="create", path="model.py", file_text=""))
    assert failed and "only read" in result
    assert tools.call("check", {})[1] and not tools.call(*edit(command="view", path="model.py"))[1]


def test_a_server_without_tools_writes_a_diff(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no tool can be used the reply holds the diff, as JSON in the text."""
    journal, diff = Journal(tmp_path / "journal.sqlite"), diff_of(home.target, "model.py", ("0.5, 1.5", "0.6, 1.5"))

    def answer(request: Request) -> Answer:
        if "output_config" in request:
            return Status(400, "unknown field output_config")
        if "tools" in request:
            return Status(400, "this model does not support tools")
        return text(f"Here it is:\n```json\n{json.dumps({'diff': diff, 'summary': 'Six.'})}\n```")

    with MessagesServer(answer) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        question = Question("experiment-planner", "implement", {}, "Implement it.", lambda: laid(home, tmp_path))
        change = Claude(world(journal)).ask(question, Change)
    assert change == Change(diff=diff, summary="Six.")
    assert "Its JSON schema: " in str(server.requests[-1]["system"]) and "diff" in str(server.requests[-1]["system"])


def test_a_server_that_forces_tools_replies_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without structured outputs the reply is the input of a tool that must be called; a bad one goes back to it."""
    journal = Journal(tmp_path / "journal.sqlite")
    replies = iter([use("reply", title="no analysis"), use("reply", reason="As measured.", lessons=[])])

    def answer(request: Request) -> Answer:
        return Status(400, "output_config is unknown") if "output_config" in request else next(replies)

    with MessagesServer(answer) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        said = Claude(world(journal)).ask(Question("experiment-analyzer", "analyse", {}, "Explain it."), Analysis)
    assert said == Analysis(reason="As measured.", lessons=())
    assert server.requests[-1]["tool_choice"] == {"type": "tool", "name": "reply"}
    assert server.requests[-1]["messages"][-1]["content"][0]["is_error"] is True


def test_the_doctor_asks_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is used, and in place of what."""

    def able(request: Request) -> Answer:
        return use("reply", ok=True) if "tools" in request else text('{"ok": true}')

    def weak(request: Request) -> Answer:
        return Status(422, "what is cache_control?") if "system" in request else text("What a lovely day.")

    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    for answer, counts, words in (
        (able, True, "typed replies by structured outputs; tools by their schema; prompt caching; it counts tokens"),
        (weak, False, "typed replies by JSON in the text; tools by their schema; no prompt caching; it does not count"),
    ):
        with MessagesServer(answer, counts=counts) as server:
            monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
            assert words in described(Model(name="m"))
    with pytest.raises(CircleError, match="does not answer"):
        described(Model(name="m"))


def test_a_desk_starts_from_an_attempt(home: Home, tmp_path: Path) -> None:
    """What is to be repaired is there to be edited; files that may not be edited are the base's."""
    base = home.workspace.head()
    (home.target / "model.py").write_text("x = 1\n")
    (home.target / "train.py").write_text("x = 1\n")
    git(home.target, "commit", "-qam", "An attempt")
    target, attempt = world(Journal(tmp_path / "j.sqlite")).target, home.workspace.head()
    laboratory: Laboratory = NoLaboratory()  # type: ignore[assignment]
    desk = FolderDesk.laid(tmp_path / "desk", base, attempt, target, home.workspace, laboratory, None, None)
    assert desk.read("model.py") == "x = 1\n" and "def main" in desk.read("train.py")
    assert "+x = 1" in desk.diff() and "train.py" not in desk.diff()
