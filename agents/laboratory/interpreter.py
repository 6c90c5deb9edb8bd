"""The Python that runs are started with: Circle's, or that of the target's own environment."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from agents.errors import LaboratoryError

_ASK = "import json, sys; print(json.dumps([sys.version, sys.prefix, sys.base_prefix]))"


@dataclass(frozen=True)
class Interpreter:
    """A program; the folders that it must be able to read, and its version, where it is not Circle's own."""

    program: str = sys.executable
    folders: tuple[Path, ...] = ()
    version: str = ""


def interpreter(root: Path, own: str) -> Interpreter:
    """Return the interpreter at a path from the target's root, or Circle's if that is empty.

    Raises:
        LaboratoryError: it is not there, or no Python.
    """
    if not own:
        return Interpreter()
    program = root / own
    try:
        done = subprocess.run([program, "-I", "-c", _ASK], capture_output=True, text=True, check=True, timeout=60)
        version, prefix, base = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise LaboratoryError(f"circle.toml names {own} as train.python, which cannot be used: {error}.") from error
    return Interpreter(str(program), tuple(dict.fromkeys((Path(prefix), Path(base)))), version)
