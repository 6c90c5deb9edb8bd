"""A session to carry elsewhere: one file with its record, and nothing that is this machine's or this person's.

It holds what a replay needs, the journal and what the session is about; no weights, no code, no logs. Its checkpoint
is made again from the journal where it is brought to.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from agents.errors import JournalDamaged, SessionError, TargetError
from agents.records import Session
from agents.recovery import make_again
from agents.sealed import SealBroken, read_sealed, sealed, unsealed, write_sealed
from agents.session import FORK, Home, Opened, portable

_JOURNAL, _ABOUT = "journal.sqlite", "session.json"
_TEXTS = (_ABOUT, "versions.json", "summary.json", FORK)
_SECRETS, _SHORTEST = re.compile("KEY|TOKEN|SECRET|PASSWORD"), 8
_LARGEST = 512 * 1024**2
_NAME = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")


def export(opened: Opened, file: Path) -> None:
    """Write a session to a new file.

    Raises:
        SessionError: the file is there already, the session is running or has not begun, or its record is damaged, or
            holds a path of this machine or a key of this environment.
    """
    name = opened.session.id
    if opened.status() == "running":
        raise SessionError(f"Session {name} is running: circle stop {name} first.")
    if not (opened.folder / _JOURNAL).exists():
        raise SessionError(f"Session {name} has not begun: there is nothing to be exported.")
    with opened.journal() as journal:
        journal.check()
    members = {text: _text(opened, text) for text in _TEXTS if (opened.folder / text).exists()}
    members[_JOURNAL] = _database(opened.folder / _JOURNAL)
    for member, content in members.items():
        for what, words in _private(opened.home):
            if words.encode() in content or json.dumps(words)[1:-1].encode() in content:
                raise SessionError(f"{member} of session {name} holds {what}: it is not exported.")
    try:
        with file.open("xb") as out, tarfile.open(fileobj=out, mode="w:gz") as tar:
            for name, content in members.items():
                about = tarfile.TarInfo(name)
                about.size = len(content)
                tar.addfile(about, io.BytesIO(content))
    except FileExistsError:
        raise SessionError(f"{file} exists already, and is left as it is.") from None


def bring(home: Home, file: Path) -> Opened:
    """Put an exported session among those of a folder, which need not be its target.

    Raises:
        SessionError: the file is no exported session, or the session is there already.
    """
    members = _members(file)
    try:
        session = Session.model_validate(unsealed(members[_ABOUT]))
    except (KeyError, SealBroken, ValidationError) as error:
        raise SessionError(f"{file} holds no session that this version of Circle can read.") from error
    if not _NAME.fullmatch(session.id) or _JOURNAL not in members:
        raise SessionError(f"{file} holds a session without a journal, or with a name that is none.")
    home.folder.mkdir(mode=0o700, exist_ok=True)
    with contextlib.suppress(TargetError):  # without git there is nothing to be kept out of its sight
        home.prepare()
    opened = Opened(home, session.model_copy(update={"target": str(home.target)}))
    if (opened.folder / _ABOUT).exists():
        raise SessionError(f"Session {session.id} is in {home.folder} already.")
    shutil.rmtree(opened.folder, ignore_errors=True)  # what an import that was killed left
    opened.folder.mkdir(parents=True)
    for name, content in members.items():
        if name != _ABOUT:
            (opened.folder / name).write_bytes(content)
    try:
        with opened.journal() as journal:
            journal.check()
            make_again(opened, journal)
    except (JournalDamaged, SealBroken, sqlite3.Error) as error:
        shutil.rmtree(opened.folder)
        raise SessionError(f"{file} is damaged: {error}") from error
    opened.forget()
    write_sealed(opened.folder / _ABOUT, opened.session.model_dump(mode="json"))
    return opened


def _private(home: Home) -> Iterator[tuple[str, str]]:
    """What may not leave this machine: where things lie, and the keys in its environment."""
    for place in {str(home.target), str(Path.home())} - {"/", "/root"}:
        yield f"the path {place}", place
    for name, value in os.environ.items():
        if _SECRETS.search(name.upper()) and len(value) >= _SHORTEST:
            yield f"the value of {name}", value


def _text(opened: Opened, name: str) -> bytes:
    if name == _ABOUT:
        return sealed(portable(opened.session).model_dump(mode="json"))
    if name == "summary.json":
        return sealed(opened.summary().model_copy(update={"error": None}).model_dump(mode="json"))
    return sealed(read_sealed(opened.folder / name))


def _database(file: Path) -> bytes:
    """The whole database as one file, whatever its write-ahead log still holds."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / file.name
        source, target = sqlite3.connect(file), sqlite3.connect(copy)
        try:
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
            target.execute("VACUUM")
        finally:
            source.close()
            target.close()
        return copy.read_bytes()


def _members(file: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(file, mode="r:gz") as tar:
            for about in tar:
                content = tar.extractfile(about) if about.isreg() else None
                if about.name not in (_JOURNAL, *_TEXTS) or content is None or about.size > _LARGEST:
                    raise SessionError(f"{file} holds {about.name!r}, which no exported session does.")
                found[about.name] = content.read()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise SessionError(f"{file} is no exported session: {error}.") from error
    return found
