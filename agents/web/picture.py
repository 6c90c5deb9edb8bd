"""The graph as a drawing of its own nodes and edges: the way to a victory in a row, the ways back as arcs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

_WIDTH, _HEIGHT, _STEP = 96, 32, 116
_TOP, _BELOW = 92, 176
_BESIDE = ("revisor", "conclude")
"""Nodes under the row: where a failure goes on, and where it ends."""


@dataclass(frozen=True)
class Node:
    """A node's box: its left upper corner."""

    name: str
    x: int
    y: int


@dataclass(frozen=True)
class Picture:
    """The boxes, and the paths of the edges between them."""

    nodes: tuple[Node, ...]
    edges: tuple[str, ...]
    width: int
    height: int
    box_width: int = _WIDTH
    box_height: int = _HEIGHT

    @property
    def note_x(self) -> int:
        """Where the note under the last box is centred: nodes that any other leads to have no edges drawn."""
        return self.nodes[-1].x + _WIDTH // 2

    @property
    def note_y(self) -> int:
        """The note's base line."""
        return self.nodes[-1].y + _HEIGHT + 14


@cache
def picture() -> Picture:
    """Return the drawing of today's graph."""
    from agents.graph import build_graph

    drawn = build_graph().get_graph()
    names = [name for name in drawn.nodes if not name.startswith("__")]
    row = [name for name in names if name not in _BESIDE]
    places = {name: Node(name, 8 + _STEP * index, _TOP) for index, name in enumerate(row)}
    middle = row.index("analyzer")
    for offset, name in enumerate(_BESIDE):
        places[name] = Node(name, 8 + _STEP * (middle - 2 + 3 * offset), _BELOW)
    edges = [(edge.source, edge.target) for edge in drawn.edges if edge.target != "conclude"]
    paths = tuple(_path(places[one], places[two]) for one, two in edges if one in places and two in places)
    return Picture(tuple(places.values()), paths, _STEP * len(row), _BELOW + _HEIGHT + 20)


def _path(one: Node, two: Node) -> str:
    """A line to the next box; an arc over the row to another; a curve between the rows."""
    left, right = one.x + _WIDTH // 2, two.x + _WIDTH // 2
    if one.y == two.y == _TOP and two.x - one.x == _STEP:
        return f"M{one.x + _WIDTH},{one.y + _HEIGHT // 2} H{two.x}"
    if one.y == two.y == _TOP:
        high = max(6, _TOP - 14 - abs(two.x - one.x) // 8)
        return f"M{left},{one.y} C{left},{high} {right},{high} {right},{two.y}"
    start, end = (one.y + _HEIGHT, two.y) if one.y < two.y else (one.y, two.y + _HEIGHT)
    half = (start + end) // 2
    return f"M{left},{start} C{left},{half} {right},{half} {right},{end}"
