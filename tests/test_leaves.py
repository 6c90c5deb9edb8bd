"""Values by their leaves: what changed, and the same value again from the changes."""

from __future__ import annotations

from functools import reduce

from agents.leaves import changed, changes, leaves


def test_scalars_have_paths_and_what_is_long_a_hash() -> None:
    deep = {"1": {"2": {"3": {"4": 5}}}}
    value = {
        "a": [1, {"b": None}],
        "empty": [],
        "text": "x" * 300,
        "deep": deep,
        "long": {"1": {"2": {"3": [6] * 300}}},
    }
    found = leaves(value)
    assert found["a.0"] == 1 and found["a.1.b"] is None and found["empty"] == [] and found["deep.1.2.3"] == {"4": 5}
    assert found["text"].startswith("xxx") and "300 characters, SHA-256" in found["text"]
    assert found["long.1.2.3"].startswith("300 entries, SHA-256")
    assert leaves(value | {"long": {"1": {"2": {"3": [6] * 299 + [7]}}}}) != found


def test_changes_lead_from_one_to_the_next() -> None:
    states = [{"a": 1, "b": [1, 2]}, {"a": 2, "b": [1]}, {"b": [1], "c": {"d": None}}]
    every = [leaves(state) for state in states]
    steps = [changes(before, after) for before, after in zip([{}, *every], every, strict=False)]
    assert steps[1] == {"new": {"a": 2}, "gone": ["b.1"]}
    assert reduce(changed, steps, {}) == every[-1]
