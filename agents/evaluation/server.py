"""Answers blocks of token ids with logits of a model that the run's own tree loads. It runs in the sandbox.

    python server.py MODULE:FUNCTION FOLDER BATCH SEQUENCE_LENGTH VOCABULARY

The socket to the scorer is standard input, and the first message in it brings the memory for a block's logits.
FUNCTION is called once, with the folder that the run handed over, and returns a function from int64 token ids
[B, T] to logits [B, T, V]. After that the server writes one byte, and for every block of B*T int64 ids it puts
B*T*V float32 logits into the memory and writes one byte. This file stands alone: nothing else of the evaluator
is seen where it runs.
"""

from __future__ import annotations

import gc
import importlib
import math
import mmap
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

gc.disable()  # what torch's import makes stays: to look for garbage in it takes a tenth of its time
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

READY = b"\x01"

Model = Callable[[Tensor], Tensor]


def take_channel() -> socket.socket:
    """Return the socket that is standard input, out of the way of what the tree's code prints and reads."""
    channel = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return channel


def take_memory(channel: socket.socket, size: int) -> mmap.mmap:
    """Return the memory for a block's logits."""
    _, (descriptor,), _, _ = socket.recv_fds(channel, 1, 1)
    return mmap.mmap(descriptor, size)


def load(name: str, folder: Path, tree: Path) -> Model:
    """Call `module:function` with the folder; raise ImportError if the module is not the tree's."""
    sys.path.insert(0, str(tree))
    module_name, _, function = name.partition(":")
    module = importlib.import_module(module_name)
    if not Path(module.__file__ or "").resolve().is_relative_to(tree):
        raise ImportError(f"{module_name} was found at {module.__file__}, not in the run's tree")
    model: Model = getattr(module, function)(folder)
    return model


def serve(model: Model, channel: socket.socket, memory: mmap.mmap, batch: int, length: int, vocabulary: int) -> None:
    """Answer blocks until the scorer hangs up; raise ValueError for logits of another shape."""
    ids = bytearray(8 * batch * length)
    tokens = torch.frombuffer(ids, dtype=torch.int64).view(batch, length)
    reply = torch.frombuffer(memory, dtype=torch.float32).view(batch, length, vocabulary)
    channel.sendall(READY)
    while channel.recv_into(ids, len(ids), socket.MSG_WAITALL) == len(ids):
        answer = model(tokens.clone())
        if answer.shape != reply.shape:
            raise ValueError(f"the model gave logits of shape {list(answer.shape)}, not {list(reply.shape)}")
        reply.copy_(answer)
        channel.sendall(READY)


def main(name: str, folder: str, *sizes: str) -> None:
    """Load the model and serve it."""
    gc.freeze()
    gc.enable()
    channel = take_channel()
    shape = [int(size) for size in sizes]
    memory = take_memory(channel, 4 * math.prod(shape))
    with torch.no_grad():
        serve(load(name, Path(folder), Path.cwd().resolve()), channel, memory, *shape)


if __name__ == "__main__":
    main(*sys.argv[1:])
