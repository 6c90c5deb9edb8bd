"""LangGraph's checkpoint of a session, the newest alone: the journal has what makes it, and every earlier one, again.

Each value carries its SHA-256, so that one whose bytes changed is not taken for another.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from agents.crashpoint import crashpoint
from agents.journal import SETTINGS

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata

_SEAL_BYTES = 32


class ValueChanged(ValueError):
    """A value of a checkpoint is not what was written."""


class SealedSerializer(JsonPlusSerializer):
    """Plain values, packed, each behind its SHA-256."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return the kind and the bytes of a value."""
        kind, plain = super().dumps_typed(obj)
        packed = zlib.compress(plain)
        return kind, _seal(kind, packed) + packed

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return a value; raise ValueChanged if its bytes are others than were written."""
        kind, (seal, packed) = data[0], (data[1][:_SEAL_BYTES], data[1][_SEAL_BYTES:])
        if seal != _seal(kind, packed):
            raise ValueChanged("a value of the checkpoint has changed since it was written")
        return super().loads_typed((kind, zlib.decompress(packed)))


class NewestCheckpoint(SqliteSaver):
    """A saver that keeps one checkpoint of its thread, and what its tasks have written."""

    def check(self) -> None:
        """Raise ValueChanged if the file is damaged, where it would only be seen when it is written."""
        (found,) = self.conn.execute("PRAGMA integrity_check").fetchone()
        if found != "ok":
            raise ValueChanged(f"the file is damaged: {found.splitlines()[0]}")

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint, then let the one before it go."""
        crashpoint("checkpoint before")
        saved = super().put(config, checkpoint, metadata, new_versions)
        crashpoint("checkpoint saved")
        thread, newest = config["configurable"]["thread_id"], checkpoint["id"]
        with self.cursor() as cursor:
            cursor.execute("DELETE FROM checkpoints WHERE thread_id = ? AND checkpoint_id < ?", (thread, newest))
            cursor.execute("DELETE FROM writes WHERE thread_id = ? AND checkpoint_id < ?", (thread, newest))
        crashpoint("checkpoint done")
        return saved

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save what a task has written."""
        crashpoint("writes before")
        super().put_writes(config, writes, task_id, task_path)
        crashpoint("writes done")


def _seal(kind: str, packed: bytes) -> bytes:
    return hashlib.sha256(kind.encode() + packed).digest()


@contextmanager
def checkpoints(file: Path) -> Iterator[NewestCheckpoint]:
    """Give the saver over a session's file."""
    os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"
    os.environ["LANGSMITH_TRACING"] = "false"
    with NewestCheckpoint.from_conn_string(str(file)) as saver:
        assert isinstance(saver, NewestCheckpoint)
        saver.conn.executescript(SETTINGS)
        saver.serde = SealedSerializer()
        try:
            yield saver
        finally:
            with saver.lock:  # a thread of LangGraph's may still write when an interruption ends the step
                saver.conn.close()
