"""The search: values that nobody tried, within the bounds, the same from the same measurements, better with more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.errors import TargetError, UsageError
from agents.ports import Question
from agents.records import Plan, Revision
from agents.researchers.search import Search, propose
from agents.settings import Dimension, Target, load_target
from tests.commands import TARGETS, circle, git, session_id, shown

SPACE = """
[search.rate]
default = 0.01
low = 0.001
high = 0.1
log = true

[search.batch]
default = 8
choices = [4, 8, 16]
"""


def target(space: str = SPACE) -> Target:
    toml = (TARGETS / "plain" / "circle.toml").read_text()
    from agents.settings import parse_target

    return parse_target(f"{toml}\n{space}", "circle.toml")


def asked(researcher: Search, text: str, versions: list[dict[str, Any]], reply: type[Any], rejection: str = "") -> Any:
    idea = researcher.idea(text, ()).model_dump(mode="json")
    context = {"idea": idea, "versions": versions, "tried": [], "standing": [], "rejection": rejection}
    return researcher.ask(Question(skill="any", template="any", context=context, text="?"), reply)


def version(plan: Plan, gain: float | None) -> dict[str, Any]:
    return {"plan": plan.model_dump(mode="json"), "gain": gain}


def test_what_is_proposed_is_new_within_bounds_and_repeatable() -> None:
    """A person's words are kept in the plan; values that are the defaults are no flags of it."""
    researcher, versions, seen = Search(target()), list[dict[str, Any]](), list[dict[str, Any]]()
    for number in range(12):
        plan = asked(researcher, "", versions, Plan, "slower, please" if number == 1 else "")
        assert plan == asked(researcher, "", versions, Plan, "slower, please" if number == 1 else "")
        assert ("slower, please" in plan.method) == (number == 1)
        values = {flag.name: flag.value for flag in plan.flags}
        assert values and values not in seen and all(flag.value != flag.default for flag in plan.flags)
        assert 0.001 <= values.get("rate", 0.01) <= 0.1 and values.get("batch", 8) in (4, 8, 16)
        seen.append(values)
        versions.append(version(plan, None if number == 3 else 0.01 * number))


def test_an_idea_names_the_flags_that_are_searched() -> None:
    researcher = Search(target())
    assert {flag.name for flag in asked(researcher, "a better batch", [], Plan).flags} == {"batch"}
    with pytest.raises(UsageError, match="names no flag of"):
        researcher.idea("warm up more slowly", ())
    assert [idea.name for idea in researcher.ideas(())] == ["rate", "batch"]


def test_where_all_choices_were_tried_it_is_exhausted() -> None:
    researcher = Search(target())
    first = asked(researcher, "batch", [], Plan)
    versions = [version(first, -0.1)]
    second = asked(researcher, "batch", versions, Plan)
    assert not asked(researcher, "batch", versions, Revision).exhausted
    assert {first.flags[0].value, second.flags[0].value} == {4, 16}
    assert asked(researcher, "batch", [*versions, version(second, -0.1)], Revision).exhausted


def test_measurements_guide_it() -> None:
    """With the gain of each value known, the best of 25 is far nearer to the optimum than a fifth of the range."""
    space = {"x": Dimension(default=0.0, low=0.0, high=1.0)}
    results: list[tuple[dict[str, Any], float | None]] = []
    for _ in range(25):
        values = propose(space, results)
        assert values is not None
        results.append((values, -((float(values["x"]) - 0.7) ** 2)))
    assert min(abs(float(values["x"]) - 0.7) for values, _ in results) < 0.03


def test_what_diverges_is_left_alone() -> None:
    """A failure is as bad as the worst: after four of them above 1, most values are below it."""
    space = {"rate": Dimension(default=0.01, low=0.001, high=1000.0, log=True)}
    results: list[tuple[dict[str, Any], float | None]] = []
    for _ in range(20):
        values = propose(space, results)
        assert values is not None
        results.append((values, None if float(values["rate"]) > 1 else -abs(float(values["rate"]) - 0.03)))
    assert sum(gain is None for _, gain in results[10:]) <= 3


def test_what_was_tried_with_other_flags_says_nothing_of_one() -> None:
    space = {"big": Dimension(default=False, choices=(False, True))}
    assert propose(space, [({"big": True, "rate": 0.3}, -1.0)]) == {"big": True}
    assert propose(space, [({"big": True}, -1.0)]) is None


def test_a_target_without_a_space_is_told() -> None:
    with pytest.raises(UsageError, match=r"has no \[search\]"):
        Search(load_target(TARGETS / "plain"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("default = 1", "needs choices"),
        ("default = true\nlow = 0\nhigh = 1", "needs choices"),
        ("default = 1\nlow = 2\nhigh = 1", "low < high"),
        ("default = 1\nlow = 0\nhigh = 1\nlog = true", "above 0"),
        ("default = 1\nchoices = [1]\nlow = 0", "either choices"),
    ],
)
def test_a_space_that_is_none_is_told(table: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        target(f"[search.rate]\n{table}\n")


@pytest.mark.long
def test_a_session_searches_and_wins(plain: Path) -> None:
    """Without a key and a researcher's name; it is judged as any version, and replayed as any session."""
    (plain / "circle.toml").write_text(f"{(plain / 'circle.toml').read_text()}\n{SPACE}")
    git(plain, "commit", "-qam", "What may be searched")
    ended = circle(plain, "start", "--turbo", "--no-sandbox", "--max-versions", "8", "--secret", "5eed", researcher="")
    assert ended.returncode == 0, ended.stderr
    name = session_id(ended.stderr)
    session = shown(plain, name)
    assert session["researcher"] == "search" and session["versions"][-1]["verdict"]["outcome"] == "win"
    assert json.loads(circle(plain, "replay", name, "--json").stdout)["identical"]
