"""Memory that two processes map: a block of logits is written once and never sent."""

from __future__ import annotations

import os
import sys
import tempfile


def shared_memory(size: int) -> int:
    """Return a descriptor of `size` zero bytes that no path leads to; whoever gets it closes it.

    On Linux its size is sealed: a process that shrank it would kill those that read it. Elsewhere it is a file
    that has been deleted.
    """
    if sys.platform == "linux":
        return _sealed(size)
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        return os.dup(file.fileno())


if sys.platform == "linux":
    import fcntl

    def _sealed(size: int) -> int:
        memory = os.memfd_create("logits", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.truncate(memory, size)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        return memory
