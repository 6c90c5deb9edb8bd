"""The scorer's end of a model that runs in the sandbox."""

from __future__ import annotations

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
from agents.evaluation.windows import Ids
from agents.laboratory.sandbox import Sandbox

Logits = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

# Run, never imported: its torch would cost the scorer a second of every evaluation.
_SERVER = Path(__file__).resolve().with_name("server.py")
_READY_BYTES = 1
_SOCKET_BYTES = 1 << 22
_CHUNK_BYTES = 1 << 16
_TAIL_BYTES = 1 << 14
_LINE_CHARACTERS = 500
_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class ModelCard:
    """Which model to serve, and how: blocks of `batch` rows of `length` ids, logits over `vocabulary` tokens.

    `concealed` are the scorer's own files. A model that has not answered `timeout` seconds after its start
    has failed.
    """

    tree: Path
    run: Path
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
        for end in (self._channel, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        reading, writing = os.pipe()
        with theirs:
            self._process = subprocess.Popen(
                _command(card, sandbox), stdin=theirs.fileno(), stdout=writing, stderr=writing
            )
        os.close(writing)
        self._complaints = _Tail(reading)
        self._reply = bytearray(4 * card.batch * card.length * card.vocabulary)
        self._logits = np.frombuffer(self._reply, np.float32).reshape(-1, card.vocabulary)

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
        self._receive(memoryview(bytearray(_READY_BYTES)))

    def ask(self, tokens: Ids) -> None:
        """Send one block of ids, [B, T] int64. Its logits must be received before the next is sent."""
        try:
            self._channel.settimeout(self._remaining())
            self._channel.sendall(tokens.tobytes())
        except OSError as error:
            raise self._failure(error) from error

    def logits(self) -> Logits:
        """Return the logits of the block that was sent, [B*T, V]; the caller may spoil them, the next ones do."""
        self._receive(memoryview(self._reply))
        return self._logits

    def _receive(self, wanted: memoryview) -> None:
        while wanted:
            try:
                self._channel.settimeout(self._remaining())
                count = self._channel.recv_into(wanted)
            except OSError as error:
                raise self._failure(error) from error
            if not count:
                raise self._failure(None)
            wanted = wanted[count:]

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
    tree, run = card.tree.resolve(), card.run.resolve()
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(card.threads))
    return sandbox.wrap(
        [sys.executable, "-P", "-s", str(_SERVER), card.name, str(run), *sizes],
        cwd=tree,
        readable=[tree, run, _SERVER],
        concealed=card.concealed,
        environment=threads,
    )
