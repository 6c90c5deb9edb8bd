"""Places on nodes: none is given twice, a lost node has none, and what is to be alone has a node for itself."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from agents.errors import LaboratoryError
from agents.laboratory.slots import Slots


def slots(limit: int = 9, **room: int) -> Slots:
    return Slots(room, limit, lambda: set(room))


def test_each_place_is_given_once_and_the_emptiest_node_comes_first() -> None:
    with ExitStack() as held:
        given = [held.enter_context(slots_.one(whole=False)) for slots_ in [slots(a=2, b=1)] for _ in range(3)]
    assert sorted(given) == ["a", "a", "b"] and given[0] == "a"


@pytest.mark.parametrize("limit", [1, 2])
def test_who_comes_too_early_waits(limit: int) -> None:
    """For a place, or for one of those that the session may use at once."""
    places, taken = slots(limit, a=2 if limit == 1 else 1, b=1), threading.Event()

    def take() -> None:
        with places.one(whole=False):
            taken.set()

    waiting = threading.Thread(target=take)
    with ExitStack() as held:
        for _ in range(limit):
            held.enter_context(places.one(whole=False))
        waiting.start()
        assert not taken.wait(0.1)
    assert taken.wait(10)
    waiting.join()


def test_what_is_to_be_alone_has_one_node_each_time() -> None:
    """It waits until nobody is there, and nobody comes while it is."""
    places, order = slots(a=2, b=2), list[str]()

    def alone() -> None:
        with places.one(whole=True) as node:
            order.append(f"alone on {node}")

    with places.one(whole=False, rather_not=frozenset({"b"})) as node:
        assert node == "a"
        waiting = threading.Thread(target=alone)
        waiting.start()
        order.append("the other")
    waiting.join()
    assert order == ["the other", "alone on a"]
    with places.one(whole=True) as whole, places.one(whole=False) as other:
        assert (whole, other) == ("a", "b")


def test_a_lost_node_has_no_place() -> None:
    """Whether the cluster knows of it or the run that was there; without any, a sentence says what to do."""
    alive = {"a", "b", "c"}
    places = Slots({"a": 1, "b": 1, "c": 1}, 3, lambda: alive)
    places.lose("a")
    alive.discard("b")
    for _ in range(2):
        with places.one(whole=False, rather_not=frozenset({"c"})) as node:
            assert node == "c", "where one failed before, and no other is left"
    alive.clear()
    with pytest.raises(LaboratoryError, match="join such a node to the cluster and resume"), places.one(whole=True):
        pass
