"""One run on several processes: `torchrun --nproc-per-node N train_llm.py …`.

Every rank holds the whole model. Of each batch it takes its rows, of each evaluation its part, and of the matrices
of a shape those that it orthogonalises for all (optimizers/muon.py). Rank 0 prints and writes.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Self, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.rendezvous import rendezvous

from trainer.errors import ConfigError

Item = TypeVar("Item")

PATIENCE = timedelta(days=7)  # rank 0 may be preparing data; torchrun ends those that wait for a rank that failed


class World:
    """The processes of a run, as one of them sees them. This one is alone; `Ranks` are several.

    `with world:` spans all that they do together.
    """

    rank, size = 0, 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that prints and writes."""
        return self.rank == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    @contextmanager
    def first(self) -> Iterator[None]:
        """Rank 0 goes through the body before the others do."""
        yield

    def wrap(self, model: nn.Module) -> nn.Module:
        """A module that computes as `model` does, and whose gradients are the mean over the ranks."""
        return model

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of the ranks' tensors; it may change `tensor`."""
        return tensor

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean of the ranks' tensors; it may change `tensor`."""
        return self.sum(tensor) / self.size

    def rows(self, batch: Sequence[Tensor]) -> list[Tensor]:
        """This rank's rows of tensors [batch, …], whose number the ranks divide."""
        return [part.chunk(self.size)[self.rank] for part in batch]

    def share(self, items: Sequence[Item]) -> list[Item]:
        """This rank's items, equally many on every rank: past the last item it goes on with the first."""
        count = -(-len(items) // self.size)
        return [items[(self.rank * count + i) % len(items)] for i in range(count)]

    def gather(self, own: Tensor, count: int) -> Tensor:
        """[count, …] from each rank's [shares, …]: what became of the `count` items that `share` was given."""
        return own


ALONE = World()


class Ranks(World):
    """The processes that torchrun started, this one among them: gloo between CPUs, nccl between GPUs.

    Raises ConfigError if this machine has fewer GPUs than processes.
    """

    def __init__(self) -> None:
        cuda = torch.cuda.is_available()
        if cuda:
            local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
            if local >= gpus:
                raise ConfigError(f"--nproc-per-node is more than the {gpus} GPUs of this machine; give {gpus}.")
            torch.cuda.set_device(local)
        self.store, self.rank, self.size = next(rendezvous("env://"))
        self.turns = 0
        distributed.init_process_group(
            "nccl" if cuda else "gloo", store=self.store, rank=self.rank, world_size=self.size
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nobody leaves before all have come to the end, so that none loses a peer while it still computes.

        Of those that fail only the first tells why: what the others meet is the same, or its consequence. They leave
        with SystemExit, and torchrun ends those that wait. Raises SystemExit.
        """
        if error is None:
            if self.store.add("ends", 1) == self.size:
                self.store.set("end", "")
            self.store.wait(["end"], PATIENCE)
            distributed.destroy_process_group()
        elif self.store.add("failures", 1) > 1:
            raise SystemExit(1)

    @contextmanager
    def first(self) -> Iterator[None]:
        self.turns += 1
        turn = f"turn {self.turns}"
        if not self.leads:
            self.store.wait([turn], PATIENCE)
        yield
        if self.leads:
            self.store.set(turn, "over")

    def wrap(self, model: nn.Module) -> nn.Module:
        # Gradients are averaged while the rest of the backward pass still runs. The model's buffers are constants, and
        # stay where they are; torch 2.13 warns that this option is going to have another name.
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            return nn.parallel.DistributedDataParallel(model, broadcast_buffers=False, gradient_as_bucket_view=True)

    def sum(self, tensor: Tensor) -> Tensor:
        distributed.all_reduce(tensor)
        return tensor

    def gather(self, own: Tensor, count: int) -> Tensor:
        everything = own.new_empty((self.size * len(own), *own.shape[1:]))
        distributed.all_gather(list(everything.chunk(self.size)), own.contiguous())
        return everything[:count]


def join() -> World:
    """The world of this process: the ranks of torchrun's run, which this call waits for, or alone."""
    return Ranks() if "WORLD_SIZE" in os.environ else ALONE
