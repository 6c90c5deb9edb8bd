"""The moments at which a test kills a session: before and after each durable write, effect and model call.

CIRCLE_CRASHPOINTS names a file to which each moment is added as it comes, a line each; CIRCLE_CRASH_AT is such a line,
or a number of moments, at which the process dies as by `kill -9`. Neither is set in ordinary use.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter

_visits: Counter[str] = Counter()
_lock = threading.Lock()


def crashpoint(name: str) -> None:
    """Take note of a moment, numbered by how often this process has come to one of its name, and die there if asked."""
    listing, end = os.environ.get("CIRCLE_CRASHPOINTS"), os.environ.get("CIRCLE_CRASH_AT")
    if not listing and not end:
        return
    with _lock:
        _visits[name] += 1
        moment = f"{name} #{_visits[name]}"
    if listing:
        with open(listing, "a", encoding="utf-8") as file:  # noqa: PTH123  (one write, so that threads do not mix)
            file.write(f"{moment}\n")
    if end in (moment, str(_visits.total())):
        os.kill(os.getpid(), signal.SIGKILL)
