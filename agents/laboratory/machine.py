"""What of this machine decides a run's bits: another one has another baseline."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from agents.records import digest


def fingerprint(threads: int) -> dict[str, Any]:
    """Return all that may change a run of the same code and data with so many threads."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in ("torch", "numpy")},
        "processor": _processor(),
        "accelerators": accelerators(),
        "threads": threads,
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags")
    return digest(sorted({line for line in lines if line.startswith(wanted)}))[:16]


@cache
def accelerators() -> list[str]:
    """Return the name, capability and driver of each GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
