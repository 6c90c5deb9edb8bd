"""A folder on its way to another machine: its bytes, and what each of its files is to be when they arrive."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from agents.errors import LaboratoryError
from agents.laboratory.snapshot import Snapshot


@dataclass(frozen=True)
class Parcel:
    """A packed folder, and the digest of each of its files by its path, as a Snapshot has it."""

    files: dict[str, str]
    archive: bytes

    @classmethod
    def of(cls, folder: Snapshot) -> Parcel:
        """Pack a folder; if it is not what it was any more, the other side will see it."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(folder.folder, arcname=".")
        return cls(folder.files, packed.getvalue())

    def unpack(self, folder: Path) -> Snapshot:
        """Write the files to a new folder.

        Raises:
            LaboratoryError: a file is not what it was when it was packed.
        """
        arrived = Snapshot(folder, self.files)
        try:
            with tarfile.open(fileobj=io.BytesIO(self.archive)) as tar:
                tar.extractall(folder, filter="tar")
            changed = arrived.changed()
        except tarfile.TarError:
            changed = "an archive"
        if changed:
            raise LaboratoryError(f"{changed} did not arrive as it was sent: memory, disk or network is at fault.")
        return arrived
