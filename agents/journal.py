"""The append-only record of a session: every effect on the world is done once and remembered.

`Journal.once(kind, key, effect)` is the one way in: if the entry exists its body is returned, else the effect
happens and its body is written. A session that was killed asks, trains and decides nothing twice. The laboratory
is handed a journal; agents/recording.py gives the other ports the same property; nodes never see it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agents.errors import SessionError
from agents.records import canonical

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL,
    body TEXT NOT NULL, sha256 TEXT NOT NULL, UNIQUE (kind, key))
"""


class Journal:
    """A session's entries in one SQLite file; safe to use from several threads of one process."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(file, check_same_thread=False, isolation_level=None, timeout=30)
            self._database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + _SCHEMA)
        except sqlite3.Error as error:
            raise SessionError(f"The journal {file} cannot be opened: {error}.") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def once(self, kind: str, key: str, effect: Callable[[], Any]) -> Any:
        """Return the recorded body of (kind, key), or do the effect and record what it returned."""
        found = self.find(kind, key)
        if found is not None:
            return found
        body = effect()
        text = canonical(body)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        with self._lock:
            try:
                self._database.execute(
                    "INSERT INTO entries (kind, key, body, sha256) VALUES (?, ?, ?, ?)", (kind, key, text, sha256)
                )
            except sqlite3.Error as error:
                raise SessionError(f"The journal could not be written: {error}.") from error
        return json.loads(text)

    def find(self, kind: str, key: str) -> Any | None:
        """Return the body of an entry, or None; raise SessionError if its bytes have changed."""
        with self._lock:
            row = self._database.execute(
                "SELECT body, sha256 FROM entries WHERE kind = ? AND key = ?", (kind, key)
            ).fetchone()
        return None if row is None else _checked(kind, *row)

    def entries(self) -> Iterator[tuple[int, str, Any]]:
        """Yield (number, kind, body) in the order of writing."""
        with self._lock:
            rows = self._database.execute("SELECT seq, kind, body, sha256 FROM entries ORDER BY seq").fetchall()
        for seq, kind, body, sha256 in rows:
            yield seq, kind, _checked(kind, body, sha256)

    def bodies(self, kind: str) -> dict[str, Any]:
        """Return the bodies of all entries of a kind by their keys, in the order of writing."""
        with self._lock:
            rows = self._database.execute(
                "SELECT key, body, sha256 FROM entries WHERE kind = ? ORDER BY seq", (kind,)
            ).fetchall()
        return {key: _checked(kind, body, sha256) for key, body, sha256 in rows}

    def count(self, kind: str) -> int:
        """Return the number of entries of a kind."""
        with self._lock:
            (number,) = self._database.execute("SELECT count(*) FROM entries WHERE kind = ?", (kind,)).fetchone()
        return int(number)


def _checked(kind: str, body: str, sha256: str) -> Any:
    if hashlib.sha256(body.encode()).hexdigest() != sha256:
        raise SessionError(f"A {kind} entry of the journal has changed since it was written; it is not used.")
    return json.loads(body)
