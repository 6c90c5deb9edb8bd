"""What one run may take: a plain dataclass, so that the trusted evaluation starts without the settings' machinery."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(frozen=True)
class Limits:
    """What one run may take before it is ended; the defaults are far above what an honest run needs.

    `memory_gb` is of all its processes together, without it four fifths of the machine's; `processes` counts threads,
    too. `disk_gb` and `files` are of the folder that it writes, `log_mb` of all that it prints. Powers of ten.
    Raises ValueError: a limit that is not positive.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    memory_gb: float | None = None
    processes: int = 4096
    open_files: int = 4096
    disk_gb: float = 10.0
    files: int = 100_000
    log_mb: float = 100.0

    def __post_init__(self) -> None:
        for field in fields(self):
            limit = getattr(self, field.name)
            if limit is not None and limit <= 0:
                raise ValueError(f"{field.name} = {limit} is not positive")

    @property
    def memory_bytes(self) -> int:
        """The memory in bytes."""
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return machine * 4 // 5 if self.memory_gb is None else int(self.memory_gb * 1e9)

    @property
    def disk_bytes(self) -> int:
        """The disk space in bytes, of one file as of all."""
        return int(self.disk_gb * 1e9)

    @property
    def log_bytes(self) -> int:
        """The output in bytes."""
        return int(self.log_mb * 1e6)
