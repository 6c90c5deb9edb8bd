"""No protection but a clean environment: for a person who asked for it."""

from __future__ import annotations

from collections.abc import Sequence

from agents.laboratory.sandbox.sandbox import Confinement, Sandbox, limited


class Unprotected(Sandbox):
    """Runs a command as it is."""

    name = "none"

    def confine(self, command: Sequence[str], to: Confinement) -> list[str]:
        variables = (f"{name}={value}" for name, value in to.variables.items())
        return limited(["/usr/bin/env", "-i", "-C", str(to.cwd), *variables, *command], to.limits)
