"""Real targets in real git repositories, and scripts for the researcher that ships with the product."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.session import Home
from tests.commands import TARGETS, Reply, git


@pytest.fixture(autouse=True)
def _no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask nobody's model: a key in the environment of whoever runs the tests is theirs."""
    for name in (
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_BASE_URL",
        "CIRCLE_MODEL",
        "CIRCLE_RESEARCHER",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Return a git repository with the target that trains in a tenth of a second."""
    folder = tmp_path / "plain"
    shutil.copytree(TARGETS / "plain", folder)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "The training code")
    return folder


@pytest.fixture
def home(plain: Path) -> Home:
    """Return the plain target as Circle sees it."""
    return Home(plain)


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a script of replies and gives the researcher's name."""

    def write(*replies: Reply) -> str:
        file = tmp_path / "script.json"
        document = {"replies": [{"skill": skill, "reply": reply} for skill, reply in replies]}
        file.write_text(json.dumps(document))
        return f"scripted:{file}"

    return write
