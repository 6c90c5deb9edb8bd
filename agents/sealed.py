"""A small JSON file that is written whole or not at all, and whose change is seen: it carries its own SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from agents.crashpoint import crashpoint
from agents.errors import SessionError

_SEAL, _BODY = "sha256", "body"


class SealBroken(SessionError, ValueError):
    """What was read is not what was written."""


def sealed(body: Any) -> bytes:
    """Return the bytes of a file with a JSON-plain body."""
    return json.dumps({_SEAL: _seal(body), _BODY: body}, indent=1).encode()


def unsealed(content: bytes) -> Any:
    """Return the body in a file's bytes; raise SealBroken if it is not what was sealed."""
    try:
        document = json.loads(content)
        body, seal = document[_BODY], document[_SEAL]
    except (ValueError, KeyError, TypeError) as error:
        raise SealBroken("It is damaged, or of another version, and is not used.") from error
    if seal != _seal(body):
        raise SealBroken("It has changed since it was written, and is not used.")
    return body


def write_sealed(file: Path, body: Any) -> None:
    """Write a JSON-plain body so that it is on the disk, whole, once this returns."""
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    crashpoint(f"{file.stem} before")
    with partial.open("wb") as out:
        out.write(sealed(body))
        out.flush()
        os.fsync(out.fileno())
    crashpoint(f"{file.stem} written")
    partial.replace(file)
    _flush_folder(file.parent)
    crashpoint(f"{file.stem} in place")


def read_sealed(file: Path) -> Any:
    """Return the body of a file; raise SealBroken if its bytes changed since, OSError if they cannot be read."""
    try:
        return unsealed(file.read_bytes())
    except SealBroken as broken:
        raise SealBroken(f"{file} cannot be read: {broken}") from broken


def _seal(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _flush_folder(folder: Path) -> None:
    """Have a folder's new names on the disk, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
