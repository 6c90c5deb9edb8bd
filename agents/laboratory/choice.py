"""Which laboratory trains, by the name that a person gives it: `local`, `ray`, or `ray:ADDRESS`."""

from __future__ import annotations

import importlib.util
import os

from agents.errors import UsageError
from agents.settings import Target

LOCAL = "local"
_RAY = "ray"
OWN = "local"  # what Ray calls a cluster that it starts for this process


def cluster_of(name: str) -> str | None:
    """Return the address of the laboratory's Ray cluster as Ray takes it, or None for this machine alone.

    Raises:
        UsageError: there is no laboratory of that name, or what it needs is not installed.
    """
    kind, colon, address = name.partition(":")
    if name == LOCAL:
        return None
    if kind != _RAY or (colon and not address):
        raise UsageError(
            f"There is no laboratory {name!r}: there are local, ray, and ray:ADDRESS (ray:auto finds one)."
        )
    if importlib.util.find_spec("ray") is None:
        raise UsageError(
            f"The laboratory {name} needs Ray, which is not installed: pip install 'circle-research[ray]'."
        )
    return address or OWN


def side_by_side(name: str, target: Target, *, unprotected: bool) -> int:
    """Return how many runs the laboratory has room for at once.

    Raises:
        UsageError: there is no such laboratory.
        LaboratoryError: its cluster does not answer, or no node of it can train.
    """
    address = cluster_of(name)
    if address is None:
        return max(1, (os.cpu_count() or 1) // target.train.threads)
    from agents.laboratory.cluster import Needs, join

    needs = Needs.of(target, unprotected=unprotected)
    return join(address).survey(needs).chosen().places(needs)
