"""The scorer's end of a model that runs in the sandbox."""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from agents.errors import LaboratoryError
from agents.evaluation.shared_memory import shared_memory
from agents.evaluation.windows import Ids
from agents.laboratory.sandbox import Sandbox

Logits = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

# Run, never imported: its torch would cost the scorer a second of every evaluation.
_SERVER = Path(__file__).resolve().with_name("server.py")
_SOCKET_BYTES = 1 << 22
_CHUNK_BYTES = 1 << 16
_TAIL_BYTES = 1 << 14
_LINE_CHARACTERS = 500
_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class ModelCard:
    """Which model to serve, and how: blocks of `batch` rows of `length` ids, logits over `vocabulary` tokens.

    `folder` is what the run handed over, `concealed` are the scorer's own files. A model that has not answered
    `timeout` seconds after its start has failed.
    """

    tree: Path
    folder: Path
    name: str
    batch: int
    length: int
    vocabulary: int
    concealed: Sequence[Path]
    threads: int
    timeout: float


class ServedModel:
    """One process that serves a model; a context that ends it. Any failure is a LaboratoryError."""

    def __init__(self, card: ModelCard, sandbox: Sandbox) -> None:
        self._timeout = card.timeout
        self._deadline = time.monotonic() + card.timeout
        self._channel, theirs = socket.socketpair()
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        self._logits = self._share(4 * card.batch * card.length * card.vocabulary).reshape(-1, card.vocabulary)
        reading, writing = os.pipe()
        with theirs:
            self._process = subprocess.Popen(
                _command(card, sandbox), stdin=theirs.fileno(), stdout=writing, stderr=writing
            )
        os.close(writing)
        self._complaints = _Tail(reading)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()
        self._process.kill()
        self._process.wait()
        self._complaints.join(_GRACE_SECONDS)

    def wait(self) -> None:
        """Wait until the model is loaded."""
        self._hear()

    def logits(self, tokens: Ids) -> Logits:
        """Return the logits of one block of ids, [B, T] int64, as [B*T, V].

        They lie in memory that the model can still write, so that a reader copies what it computes with. The model
        holds one block at a time: when it sees the next, the losses of this one have been computed.
        """
        try:
            self._channel.settimeout(self._remaining())
            self._channel.sendall(tokens.tobytes())
        except OSError as error:
            raise self._failure(error) from error
        self._hear()
        return self._logits

    def _share(self, size: int) -> Logits:
        """Put memory for a block's logits into the channel and return it: no copy of them ever goes through a pipe."""
        memory = shared_memory(size)
        try:
            socket.send_fds(self._channel, [b"\0"], [memory])
            return np.frombuffer(mmap.mmap(memory, size, prot=mmap.PROT_READ), np.float32)
        finally:
            os.close(memory)

    def _hear(self) -> None:
        """Wait for the one byte that says that the model is ready."""
        try:
            self._channel.settimeout(self._remaining())
            word = self._channel.recv(1)
        except OSError as error:
            raise self._failure(error) from error
        if not word:
            raise self._failure(None)

    def _remaining(self) -> float:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return remaining

    def _failure(self, error: OSError | None) -> LaboratoryError:
        if isinstance(error, TimeoutError):
            return LaboratoryError(f"The model did not answer within {self._timeout:g} seconds.")
        try:
            code = self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return LaboratoryError("The model's process closed its connection to the scorer.")
        return LaboratoryError(f"The model's process ended with {code}: {self._complaints.last_line()}")


class _Tail(threading.Thread):
    """Reads a pipe and keeps only its end, so that a chatty model neither blocks nor fills anything."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(daemon=True)
        self._descriptor = descriptor
        self._kept = b""
        self.start()

    def run(self) -> None:
        while chunk := os.read(self._descriptor, _CHUNK_BYTES):
            self._kept = (self._kept + chunk)[-_TAIL_BYTES:]
        os.close(self._descriptor)

    def last_line(self) -> str:
        """Return the end's last line that is not blank, without what could steer a terminal."""
        self.join(_GRACE_SECONDS)
        lines = self._kept.decode(errors="replace").rstrip().split("\n")
        plain = "".join(character for character in lines[-1] if character.isprintable())
        return plain[:_LINE_CHARACTERS] or "it said nothing"


def _command(card: ModelCard, sandbox: Sandbox) -> list[str]:
    sizes = map(str, (card.batch, card.length, card.vocabulary))
    tree, folder = card.tree.resolve(), card.folder.resolve()
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(card.threads))
    return sandbox.wrap(
        [sys.executable, "-P", "-s", str(_SERVER), card.name, str(folder), *sizes],
        cwd=tree,
        readable=[tree, folder, _SERVER],
        concealed=card.concealed,
        environment=threads,
    )
