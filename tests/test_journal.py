"""Every effect once, and never a changed entry."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from agents.errors import SessionError
from agents.journal import Journal


def test_an_effect_happens_once_and_survives_its_process(tmp_path: Path) -> None:
    calls: list[int] = []

    def effect() -> dict[str, int]:
        calls.append(1)
        return {"n": len(calls)}

    journal = Journal(tmp_path / "journal.sqlite")
    assert journal.once("run", "a", effect) == journal.once("run", "a", effect) == {"n": 1}
    assert journal.once("run", "b", effect) == {"n": 2}
    journal.close()
    again = Journal(tmp_path / "journal.sqlite")
    assert again.once("run", "a", effect) == {"n": 1} and len(calls) == 2
    assert [(kind, body) for _, kind, body in again.entries()] == [("run", {"n": 1}), ("run", {"n": 2})]
    assert (again.count("run"), again.count("reply")) == (2, 0)


def test_an_effect_that_fails_leaves_no_entry(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    with pytest.raises(ZeroDivisionError):
        journal.once("run", "a", lambda: 1 / 0)
    assert journal.find("run", "a") is None


def test_a_changed_entry_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite"
    journal = Journal(file)
    journal.once("run", "a", lambda: {"loss": 4.0})
    with sqlite3.connect(file) as database:
        database.execute("UPDATE entries SET body = replace(body, '4.0', '3.0')")
    with pytest.raises(SessionError, match="has changed"):
        journal.find("run", "a")
    with pytest.raises(SessionError, match="has changed"):
        list(journal.entries())


def test_a_file_that_is_no_journal_is_told_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite"
    file.write_text("this is not a database, and long enough to be looked at as one" * 40)
    with pytest.raises(SessionError, match="cannot be opened"):
        Journal(file)
