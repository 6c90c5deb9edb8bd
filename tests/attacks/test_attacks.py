"""Every attack of this folder on every backend that should be there, through the laboratory that trains any patch.

Where a backend is missing or does not work these tests fail: they never skip.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agents.laboratory.sandbox import Unprotected, backends
from tests.attacks.host import CATEGORIES, HERE, Attack, Host, Range, attacks, host, python_state

BACKENDS = ("bubblewrap", "sandlock")
SAMPLE = {
    *("read/ssh_key", "write/by_link", "resources/memory"),
    *("network/local_port", "process/limits_of_parent", "data/surrogate"),
}
# Without a sandbox these must get through, or they would prove nothing; they do harm to the decoys alone.
CONTROLS = (
    *("read/ssh_key", "read/credentials", "read/hidden_split", "read/concealed_package", "read/hidden_split_by_race"),
    *(
        "read/other_worktree",
        "read/journal",
        "read/git",
        "read/link_out",
        "read/root_by_proc",
        "read/by_other_programs",
    ),
    *("write/by_link", "write/by_hard_link", "write/rename_over", "write/new_settings", "write/git", "write/bytecode"),
    *("write/own_tree", "write/data", "write/metadata", "write/descriptor", "write/log"),
    *("network/local_port", "network/udp", "network/unix_socket", "network/abstract_socket", "network/listen"),
)


@pytest.fixture(scope="module")
def victim() -> Iterator[Host]:
    with host() as made:
        yield made


@pytest.fixture(scope="module", params=BACKENDS)
def ranged(request: pytest.FixtureRequest, victim: Host) -> Range:
    """The laboratory of a backend; it fails where the backend is not installed."""
    found = next((sandbox for sandbox in backends() if sandbox.name == request.param), None)
    assert found is not None, f"{request.param} is not installed: the set-up brings it"
    return Range(victim, found)


def _parameters() -> list[object]:
    return [
        pytest.param(attack, id=attack.name, marks=[] if attack.name in SAMPLE else pytest.mark.long)
        for attack in attacks(*CATEGORIES)
    ]


@pytest.mark.parametrize("attack", _parameters())
def test_is_denied(ranged: Range, attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "swordfish")
    python = python_state()
    outcome = ranged.run(attack)
    assert outcome.through(attack) == ""
    assert python_state() == python


def test_an_honest_run_is_not(ranged: Range) -> None:
    outcome = ranged.run(Attack(ranged.host.root / "repository" / "train.py"))
    assert (outcome.run.status, outcome.run.hidden, outcome.run.error, outcome.damage) == ("done", 1.0, None, [])


@pytest.mark.long
@pytest.mark.parametrize("name", CONTROLS)
def test_gets_through_where_nothing_protects(name: str) -> None:
    with host() as made:
        attack = Attack(HERE / f"{name}.py")
        assert Range(made, Unprotected()).run(attack).through(attack) != ""


def test_the_sample_is_there() -> None:
    assert {attack.name for attack in attacks(*CATEGORIES)} >= SAMPLE
