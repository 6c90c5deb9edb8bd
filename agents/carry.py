"""A session to carry elsewhere: one file with its record, and nothing that is this machine's or this person's.

It holds what a replay needs, the journal, the checkpoints and what the session is about; no weights, no code, no logs.
"""

from __future__ import annotations

import contextlib
import io
import re
import sqlite3
import tarfile
import tempfile
from pathlib import Path

from pydantic import ValidationError

from agents.errors import SessionError, TargetError
from agents.records import Session
from agents.sealed import SealBroken, sealed, unsealed, write_sealed
from agents.session import CHECKPOINTS, FORK, Home, Opened, portable

_DATABASES = ("journal.sqlite", CHECKPOINTS)
_TEXTS = ("session.json", "versions.json", "summary.json", FORK)
_LARGEST = 512 * 1024**2
_NAME = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")


def export(opened: Opened, file: Path) -> None:
    """Write a session to a new file.

    Raises:
        SessionError: the file is there already, or the session is running, or a path of this machine is in its record.
    """
    if opened.status() == "running":
        raise SessionError(f"Session {opened.session.id} is running: circle stop {opened.session.id} first.")
    members = {name: _text(opened, name) for name in _TEXTS if (opened.folder / name).exists()}
    members |= {name: _database(opened.folder / name) for name in _DATABASES if (opened.folder / name).exists()}
    for name, content in members.items():
        for private in {str(opened.home.target), str(Path.home())} - {"/", "/root"}:
            if private.encode() in content:
                raise SessionError(
                    f"{name} of session {opened.session.id} holds the path {private}: it is not exported."
                )
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
        session = Session.model_validate(unsealed(members["session.json"]))
    except (KeyError, SealBroken, ValidationError) as error:
        raise SessionError(f"{file} holds no session that this version of Circle can read.") from error
    if not _NAME.fullmatch(session.id):
        raise SessionError(f"{file} holds a session with the name {session.id!r}, which is none.")
    home.folder.mkdir(mode=0o700, exist_ok=True)
    with contextlib.suppress(TargetError):  # without git there is nothing to be kept out of its sight
        home.prepare()
    opened = Opened(home, session.model_copy(update={"target": str(home.target)}))
    try:
        opened.folder.mkdir(parents=True)
    except FileExistsError:
        raise SessionError(f"Session {session.id} is in {home.folder} already.") from None
    for name, content in members.items():
        (opened.folder / name).write_bytes(content)
    opened.forget()
    write_sealed(opened.folder / "session.json", opened.session.model_dump(mode="json"))
    return opened


def _text(opened: Opened, name: str) -> bytes:
    if name == "session.json":
        return sealed(portable(opened.session).model_dump(mode="json"))
    if name == "summary.json":
        return sealed(opened.summary().model_copy(update={"error": None}).model_dump(mode="json"))
    return (opened.folder / name).read_bytes()


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
                if about.name not in (*_DATABASES, *_TEXTS) or content is None or about.size > _LARGEST:
                    raise SessionError(f"{file} holds {about.name!r}, which no exported session does.")
                found[about.name] = content.read()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise SessionError(f"{file} is no exported session: {error}.") from error
    return found
