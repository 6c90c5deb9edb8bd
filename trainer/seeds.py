"""Independent random streams from one seed.

Each purpose (one parameter's init, the data order) draws from its own stream, so that a change which adds a
parameter or a draw leaves every other stream as it was, and two arms of an experiment stay paired.
"""

import hashlib

import torch


def derive_seed(seed: int, purpose: str) -> int:
    """A 63-bit seed for one purpose: equal inputs give equal seeds, unequal ones unrelated seeds."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{purpose}".encode()).digest()[:8], "little") >> 1


def generator(seed: int, purpose: str) -> torch.Generator:
    """A fresh CPU generator for one purpose: the same numbers whatever device trains."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose))
