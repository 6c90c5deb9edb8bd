"""A page over the recorded sessions."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.carry import bring
from agents.session import Home
from tests.commands import ROOT, TARGETS, git
from tests.web.visitor import Visitor, served

SESSIONS = sorted((ROOT / "tests" / "sessions").glob("*.circle"))


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a target with the recorded sessions in its store."""
    folder = tmp_path_factory.mktemp("recorded") / "plain"
    shutil.copytree(TARGETS / "plain", folder)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "The training code")
    for file in SESSIONS:
        bring(Home(folder), file)
    return folder


@pytest.fixture(scope="session")
def visitor(recorded: Path) -> Iterator[Visitor]:
    """Return who has entered the page of the recorded sessions."""
    with served(recorded) as address:
        yield Visitor(address).enter()
