"""What earlier sessions tried: on record, queryable, and not tried again unless the code has changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.session import Home, Summary, tree_of
from agents.settings import load_target
from tests.commands import circle, git, session_id

PACE = """
text = "Another pace"
source = "none"
keywords = "pace"
criteria = "Better."

[[variants]]
name = "slow"
title = "A slow pace"
hypothesis = "h"
method = "m"
flags = [{ name = "rate", default = 0.01, value = 0.004 }]
"""


@pytest.mark.long
def test_what_failed_is_remembered_and_not_tried_again(plain: Path, tmp_path: Path) -> None:
    """On the same code it is refused with the session's name; on other code it is tried, and says so everywhere."""
    (tmp_path / "catalogue" / "pace").mkdir(parents=True)
    (tmp_path / "catalogue" / "pace" / "idea.toml").write_text(PACE)
    start = ["start", "--turbo", "--researcher", f"catalogue:{tmp_path / 'catalogue'}"]
    assert json.loads(circle(plain, "ideas", "--json").stdout) == []
    assert circle(plain, "ideas").stdout == "Nothing was tried here yet.\n"
    first = circle(plain, *start, "pace")
    assert first.returncode == 3 and "memory" not in first.stderr, first.stderr
    name = session_id(first.stderr)
    (plain / ".circle" / "sessions" / name / "checkpoints.sqlite").write_bytes(b"not opened")
    (entry,) = json.loads(circle(plain, "ideas", "--json", "slow", "THEORY").stdout)
    expected = {"session": name, "outcome": "loss", "cause": "theory", "status": "concluded", "current_base": True}
    assert {key: entry[key] for key in expected} == expected and entry["flags"] == ["rate=0.004"]
    assert entry["effect"] < 0 and entry["ci"][0] < entry["effect"] < entry["ci"][1] and entry["lessons"]
    assert circle(plain, "ideas", "bigram").stdout == "Nothing was tried that has these words.\n"
    again = circle(plain, *start, "pace")
    assert again.returncode == 2 and name in again.stderr and "--no-memory" in again.stderr
    place = Home(plain)
    tree = tree_of(place.workspace, load_target(plain), place.workspace.head(), ())
    assert [old.session for old in place.tried(tree, entry["preset"], entry["train_tokens"])] == [name]
    assert place.tried(tree, entry["preset"], 2 * entry["train_tokens"]) == (), "another scale is another question"
    (plain / "model.py").write_text((plain / "model.py").read_text() + "\n# Other code.\n")
    git(plain, "commit", "-qam", "Other code")
    other = circle(plain, *start, "pace")
    said = f"tried before on other code: session {name}, loss by theory"
    assert other.returncode == 3 and said in other.stderr
    paper = git(plain, "show", f"circle/{session_id(other.stderr)}/v1:docs/research/papers/pace.md")
    assert f"Tried before on other code: session `{name}`, loss by theory." in paper
    (plain / ".circle" / "sessions" / "damaged").mkdir()
    (plain / ".circle" / "sessions" / "damaged" / "session.json").write_text("{")
    listed = circle(plain, "ideas")
    printed = listed.stdout
    assert "cannot be read: damaged;" in listed.stderr
    assert printed.count("A slow pace  V1  loss by theory, effect") == 2
    assert "on the present code" in printed and "on other code" in printed


def test_summaries_of_before_are_still_read() -> None:
    """A version that an older Circle remembered has no effect and no title, and failed all the same."""
    old = {"session": "s", "idea": "i", "version": 1, "diff_sha256": "0", "flags": ["a=1"], "outcome": "loss"}
    text = json.dumps({"status": "concluded", "error": None, "tree": "t", "tried": [old | {"cause": "theory"}]})
    (tried,) = Summary.model_validate_json(text).tried
    assert tried.failed and tried.effect is None and "effect" not in tried.told
