"""Places for runs on the nodes of a cluster, handed out one by one; a node that is lost has none."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from agents.errors import LaboratoryError


@dataclass
class Slots:
    """How many runs each node has room for, and how many are at work there; at most `limit` in all.

    `living` says which nodes are alive.
    """

    room: Mapping[str, int]
    limit: int
    living: Callable[[], set[str]]
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _taken: Counter[str] = field(default_factory=Counter)
    _lost: set[str] = field(default_factory=set)

    @contextmanager
    def one(self, *, whole: bool, rather_not: frozenset[str] = frozenset()) -> Iterator[str]:
        """Give a node that has room; where a `whole` one is needed an idle one, and the same each time while it lives.

        Raises:
            LaboratoryError: no node is left.
        """
        with self._changed:
            while (node := self._free(whole, rather_not)) is None:
                self._changed.wait()
            taken = self.room[node] if whole else 1
            self._taken[node] += taken
        try:
            yield node
        finally:
            with self._changed:
                self._taken[node] -= taken
                self._changed.notify_all()

    def lose(self, node: str) -> None:
        """Take note that a node is lost: nothing is run there any more."""
        with self._changed:
            self._lost.add(node)
            self._changed.notify_all()

    def _free(self, whole: bool, rather_not: frozenset[str]) -> str | None:
        living = [node for node in self.room if node in self.living() - self._lost]
        if not living:
            raise LaboratoryError(
                "No node is left of those that this session trains on: join such a node to the cluster and resume."
            )
        wanted = [node for node in living if node not in rather_not] or living
        if whole:
            return None if self._taken[wanted[0]] else wanted[0]
        free = {node: self.room[node] - self._taken[node] for node in wanted}
        most = max(free, key=lambda node: free[node])
        return most if free[most] > 0 and self._taken.total() < self.limit else None
