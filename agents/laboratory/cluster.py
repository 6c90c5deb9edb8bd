"""A Ray cluster as a session sees it: nodes that can train, sorted by what decides a run's bits.

Runs that are compared are trained on like nodes only: of one kind of processor, with the same packages, accelerators
and sandbox. A session takes the kind with the most free CPUs, and keeps it.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import ray
from ray._private import worker as ray_worker
from ray._private.state import available_resources_per_node  # a developer's API, which Ray exports nowhere else
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from agents.errors import LaboratoryError
from agents.laboratory.errand import Look, authentication, files, look
from agents.records import digest
from agents.settings import Target

_ANSWER_SECONDS = 5.0
_LOOK_SECONDS = 60.0
# How a client of gRPC, which is HTTP/2, begins, and the kind of a server's first frame, or of one that wants TLS.
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_SETTINGS, _TLS = b"\x04", b"\x15"


@dataclass(frozen=True)
class Needs:
    """What a run takes of a node: CPUs for its threads, GPUs, and whether it runs without a sandbox.

    `own` is what circle.toml names that only those nodes have which are on this machine, if anything.
    """

    threads: int
    gpus: int
    unprotected: bool
    own: str = ""

    @classmethod
    def of(cls, target: Target, *, unprotected: bool) -> Needs:
        """Return what the runs of a target need."""
        own = next(filter(None, (target.train.python, *target.data.folders)), "")
        return cls(target.train.threads, target.train.gpus, unprotected, own)


@dataclass(frozen=True)
class Node:
    """A node that was looked at; `free` is how many of its CPUs nobody used then."""

    id: str
    host: str
    cpus: int
    gpus: int
    free: float
    look: Look

    def places(self, needs: Needs) -> int:
        """Return how many runs it has room for."""
        most = self.cpus // needs.threads
        return min(most, self.gpus // needs.gpus) if needs.gpus else most

    @property
    def kind(self) -> str:
        """A digest of what nodes that are alike have in common."""
        return digest([self.look.fingerprint, self.look.sandbox])[:16]


@dataclass(frozen=True)
class Kind:
    """Nodes that are alike."""

    name: str
    nodes: tuple[Node, ...]

    def places(self, needs: Needs) -> int:
        """Return how many runs they have room for."""
        return sum(node.places(needs) for node in self.nodes)

    @property
    def free(self) -> float:
        """How many of their CPUs nobody used."""
        return sum(node.free for node in self.nodes)


@dataclass(frozen=True)
class Survey:
    """The nodes that can train, by their kinds, and why others cannot."""

    kinds: tuple[Kind, ...]
    unfit: tuple[str, ...]

    def chosen(self, name: str = "") -> Kind:
        """Return the kind of that name, or the one with the most free CPUs; raise LaboratoryError if there is none."""
        found = [kind for kind in self.kinds if name in ("", kind.name)]
        if found:
            return max(found, key=lambda kind: (kind.free, kind.name))
        if self.kinds:
            raise LaboratoryError(
                "The nodes that this session trains on are gone, and others would not give the same bits: join such a "
                "node to the cluster and resume, or start anew."
            )
        why = f" ({'; '.join(self.unfit)})" if self.unfit else ""
        raise LaboratoryError(f"No node of the Ray cluster can train{why}.")

    def others(self, kind: Kind) -> str:
        """Say in a sentence which nodes are left out where this kind is taken; empty if none are."""
        unlike = [node.host for other in self.kinds if other is not kind for node in other.nodes]
        reasons = [*([f"{', '.join(unlike)} unlike them"] if unlike else []), *self.unfit]
        if not reasons:
            return ""
        taken = ", ".join(node.host for node in kind.nodes)
        return f"trains on {len(kind.nodes)} like nodes ({taken}); left out: {'; '.join(reasons)}"


@dataclass(frozen=True)
class Cluster:
    """The Ray cluster that this process has joined. `look` is what each node is asked."""

    look: Callable[[int, bool], Look] = look

    def survey(self, needs: Needs) -> Survey:
        """Look at every node that is alive."""
        ask = ray.remote(num_cpus=0, max_retries=0)(self.look)
        free = available_resources_per_node()
        asked = {on_node(ask, about["NodeID"]).remote(needs.threads, needs.unprotected): about for about in _living()}
        answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_LOOK_SECONDS)
        kinds, unfit = defaultdict[str, list[Node]](list), list[str]()
        for answer, about in asked.items():
            host = about["NodeManagerHostname"]
            try:
                node = _node(about, free, ray.get(answer)) if answer in answered else None
                why = _unfit(node, needs)
            except RayTaskError as error:
                node, why = None, str(error.cause)
            except RayError as error:
                node, why = None, type(error).__name__
            if node is None or why:
                unfit.append(f"{host}: {why}")
            else:
                kinds[node.kind].append(node)
        alike = (Kind(name, tuple(sorted(nodes, key=lambda node: node.id))) for name, nodes in kinds.items())
        return Survey(tuple(alike), tuple(unfit))

    def living(self) -> set[str]:
        """Return the ids of the nodes that are alive, as far as the cluster knows."""
        return {about["NodeID"] for about in _living()}


def join(address: str) -> Cluster:
    """Join the cluster at an address, `auto`, or start one by the name `local`; a process joins one only.

    Raises:
        LaboratoryError: nobody answers there.
    """
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
        _check_answers(address)
        ray_worker._worker_logs_enabled = False  # else what its nodes complain of is on our standard output
        try:
            with _own_signals():
                ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **_of_a_new_one(address))
        except (RayError, OSError, RuntimeError, ValueError) as error:
            if address == "auto":
                raise LaboratoryError(
                    "There is no Ray cluster on this machine: `ray start` one, or name its address, ray:HOST:PORT."
                ) from error
            raise LaboratoryError(f"The Ray cluster {address} cannot be joined: {_why(error)}.") from error
    return Cluster()


def on_node(task: Any, node: str) -> Any:
    """Return a Ray task that runs on this node or not at all."""
    return task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))


def _of_a_new_one(address: str) -> dict[str, Any]:
    return {"include_dashboard": False} if address == "local" else {}


def _check_answers(address: str) -> None:
    """Raise LaboratoryError within seconds where Ray would try for a quarter of an hour."""
    host, colon, port = address.rpartition(":")
    if not colon:
        return
    try:
        with socket.create_connection((host, int(port)), _ANSWER_SECONDS) as connection:
            connection.sendall(_GREETING)
            answer = connection.recv(9)
    except (OSError, ValueError, OverflowError) as error:
        raise LaboratoryError(f"Nobody answers at {address} ({error}): is the Ray cluster up?") from error
    if answer[3:4] != _SETTINGS and answer[:1] != _TLS:
        raise LaboratoryError(f"What answers at {address} is no Ray cluster: `ray status` on its head has the address.")


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers of this process, for Ray sets its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _living() -> list[dict[str, Any]]:
    return [about for about in ray.nodes() if about["Alive"]]


def _node(about: dict[str, Any], free: dict[str, dict[str, float]], seen: Look) -> Node:
    resources = about["Resources"]
    return Node(
        id=about["NodeID"],
        host=about["NodeManagerHostname"],
        cpus=int(resources.get("CPU", 0)),
        gpus=int(resources.get("GPU", 0)),
        free=free.get(about["NodeID"], {}).get("CPU", 0.0),
        look=seen,
    )


def _unfit(node: Node | None, needs: Needs) -> str:
    """Say why a node cannot train; empty if it can."""
    if node is None:
        return f"no answer in {_LOOK_SECONDS:.0f} s"
    own = version("circle-research")
    if node.look.circle != own:
        return f"Circle {node.look.circle}, not {own}"
    here, there = authentication(), node.look.authentication
    if here != there:
        return f"Ray's authentication is {there!r} there and {here!r} here: set RAY_AUTH_MODE={there} for circle"
    if needs.own and node.look.files != files():
        return (
            f"not this machine, which alone has {needs.own} of circle.toml: join it to the cluster, or use --lab local"
        )
    return "" if node.places(needs) else f"{node.cpus} CPUs and {node.gpus} GPUs, too few for a run"


def _why(error: Exception) -> str:
    said = str(error).strip().splitlines() or [type(error).__name__]
    tokens = authentication() != "disabled" or not isinstance(error, ConnectionError)
    return said[0].rstrip(".") + ("" if tokens else "; if it asks for a token, set RAY_AUTH_MODE=token for circle")
