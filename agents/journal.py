"""The append-only record of a session: every effect on the world is done once and remembered.

`Journal.once(kind, key, effect)` is the one way in: if the entry exists its body is returned, else the effect
happens and its body is written. A session that was killed asks, trains and decides nothing twice. The laboratory
is handed a journal; agents/recording.py gives the other ports the same property; nodes never see it.

Each entry's SHA-256 is over the entry before it, too, and a small file beside the journal, its tip, has the newest
one's: an entry that changed, or is gone, from the middle or from the end, is seen.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agents.crashpoint import crashpoint
from agents.errors import JournalDamaged, SessionError
from agents.records import canonical

SETTINGS = "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=64"
"""On the disk, once a write returns; and a write-ahead log of a quarter of a megabyte at most."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL,
    body TEXT NOT NULL, sha256 TEXT NOT NULL, UNIQUE (kind, key))
"""
_ENTRIES = """
SELECT seq, kind, key, body, sha256, coalesce((SELECT sha256 FROM entries AS b WHERE b.seq = a.seq - 1), '')
FROM entries AS a
"""


class Journal:
    """A session's entries in one SQLite file; safe to use from several threads of one process."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._tip = file.with_suffix(".tip")
        try:
            self._database = sqlite3.connect(file, check_same_thread=False, isolation_level=None, timeout=30)
            self._database.executescript(f"PRAGMA journal_mode=WAL; {SETTINGS}; {_SCHEMA}")
        except sqlite3.Error as error:
            raise JournalDamaged(f"The journal {file} cannot be opened: {error}.") from error

    def close(self) -> None:
        """Close the file, once whatever thread is at it has done."""
        with self._lock:
            self._database.close()

    def check(self) -> None:
        """Raise JournalDamaged, with what is wrong, unless every entry is as it was written and none is gone."""
        before, last = "", 0
        newest = _read_tip(self._tip)  # before the entries: who drives the session may add some meanwhile
        try:
            for seq, kind, key, body, sha256, _ in self._rows("ORDER BY seq"):
                if seq != last + 1 or sha256 != _sha256(before, seq, kind, key, body):
                    raise JournalDamaged(f"Entry {last + 1} of the journal has changed or is gone.")
                before, last = sha256, seq
            (sound,) = self._database.execute("PRAGMA integrity_check").fetchone()
        except (sqlite3.Error, TypeError, ValueError) as error:
            raise JournalDamaged(f"The journal cannot be read after entry {last}: {error}.") from error
        if sound != "ok":
            raise JournalDamaged(f"The journal's file is damaged: {sound.splitlines()[0]}.")
        if newest > last:
            raise JournalDamaged(f"The journal ends with entry {last}, and {newest} had been written.")

    def once(self, kind: str, key: str, effect: Callable[[], Any]) -> Any:
        """Return the recorded body of (kind, key), or do the effect and record what it returned."""
        found = self.find(kind, key)
        if found is not None:
            return found
        crashpoint(f"{kind} effect")
        text = canonical(effect())
        crashpoint(f"{kind} done")
        self._append(kind, key, text)
        crashpoint(f"{kind} recorded")
        return json.loads(text)

    def find(self, kind: str, key: str) -> Any | None:
        """Return the body of an entry, or None; raise JournalDamaged if its bytes have changed."""
        rows = self._rows("WHERE kind = ? AND key = ?", kind, key)
        return _checked(rows[0]) if rows else None

    def entries(self) -> Iterator[tuple[int, str, Any]]:
        """Yield (number, kind, body) in the order of writing."""
        for row in self._rows("ORDER BY seq"):
            yield row[0], row[1], _checked(row)

    def bodies(self, kind: str) -> dict[str, Any]:
        """Return the bodies of all entries of a kind by their keys, in the order of writing."""
        return {row[2]: _checked(row) for row in self._rows("WHERE kind = ? ORDER BY seq", kind)}

    def newest(self, kind: str) -> str | None:
        """Return the key of the newest entry of a kind."""
        rows = self._rows("WHERE kind = ? ORDER BY seq DESC LIMIT 1", kind)
        return rows[0][2] if rows else None

    def count(self, kind: str) -> int:
        """Return the number of entries of a kind."""
        with self._lock:
            (number,) = self._database.execute("SELECT count(*) FROM entries WHERE kind = ?", (kind,)).fetchone()
        return int(number)

    def _rows(self, which: str, *values: str) -> list[tuple[int, str, str, str, str, str]]:
        with self._lock:
            return self._database.execute(f"{_ENTRIES} {which}", values).fetchall()

    def _append(self, kind: str, key: str, body: str) -> None:
        with self._lock:
            try:
                with self._database:
                    self._database.execute("BEGIN IMMEDIATE")
                    seq = self._insert(kind, key, body)
                _write_tip(self._tip, seq)
            except (sqlite3.Error, OSError) as error:
                raise SessionError(f"The journal could not be written: {error}.") from error

    def _insert(self, kind: str, key: str, body: str) -> int:
        newest = self._database.execute("SELECT seq, sha256 FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
        seq, before = (newest[0] + 1, newest[1]) if newest else (1, "")
        row = (seq, kind, key, body, _sha256(before, seq, kind, key, body))
        self._database.execute("INSERT INTO entries (seq, kind, key, body, sha256) VALUES (?, ?, ?, ?, ?)", row)
        return int(seq)


def _checked(row: tuple[int, str, str, str, str, str]) -> Any:
    seq, kind, key, body, sha256, before = row
    if sha256 != _sha256(before, seq, kind, key, body):
        raise JournalDamaged(f"Entry {seq} of the journal, a {kind}, has changed since it was written; it is not used.")
    return json.loads(body)


def _sha256(before: str, seq: int, kind: str, key: str, body: str) -> str:
    return hashlib.sha256(f"{before}\n{seq}\n{kind}\n{key}\n{body}".encode()).hexdigest()


def _write_tip(file: Path, seq: int) -> None:
    """Write down, in place, how many entries there are; twice, so that a half-written one is seen."""
    file.write_text(f"{seq} {seq}\n", encoding="ascii")


def _read_tip(file: Path) -> int:
    """Return how many entries there were; 0 where that cannot be read, for then the journal alone is believed."""
    try:
        one, two = file.read_text(encoding="ascii").split()
        return int(one) if one == two else 0
    except (OSError, ValueError):
        return 0
