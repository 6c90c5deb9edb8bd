"""Where a run computes and how precisely."""

import ctypes
import os
import resource
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from trainer.config import Configs


def prepare_device(configs: Configs) -> tuple[torch.device, Configs]:
    """The device, and the settings with `auto` replaced by what this machine makes of it.

    On CUDA deterministic kernels are asked for, so that the same command gives the same losses.
    """
    keep_freed_memory()
    if configs.compile:
        keep_compiled_code()
    if configs.threads:
        torch.set_num_threads(configs.threads)
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cpu":
        choose_float32_kernels()
    else:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
        torch.use_deterministic_algorithms(True, warn_only=True)
    if configs.dtype == "auto":
        configs = replace(configs, dtype="bfloat16" if computes_bfloat16(device) else "float32")
    return device, configs


def choose_float32_kernels() -> None:
    """Has oneDNN multiply float32 matrices where MKL does so at half speed: on AMD processors with AVX-512.

    torch turns to it only if it may compute in bfloat16, which oneDNN then does on AMX units alone; so not there.
    """
    capabilities = torch.cpu.get_capabilities()
    if capabilities.get("avx512_bw") and not capabilities.get("amx_tile"):
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"  # type: ignore[attr-defined]


def keep_freed_memory() -> None:
    """Tells glibc not to hand freed memory back to the system; does nothing where there is no glibc.

    Without it every step faults its large tensors in again, page by page: a sixth of a small CPU run's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mmap_threshold, trim_threshold = -3, -1  # the option numbers of malloc.h
        mallopt(mmap_threshold, 32 * 2**20)
        mallopt(trim_threshold, 2**31 - 1)


def keep_compiled_code() -> None:
    """Names the folder where torch.compile finds what earlier runs compiled: one in the user's cache folder.

    Where TORCHINDUCTOR_CACHE_DIR names one already, or that folder cannot be made, torch's choice stays.
    """
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "circle" / "compiled"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # a folder that cannot be written; a user without a home
        return
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))


def computes_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 products run on the processor's own units; emulated, they are slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def autocast(device: torch.device, configs: Configs) -> AbstractContextManager[None]:
    """The context that the model computes in: bfloat16 products of float32 parameters, or float32 alone."""
    return torch.autocast(device.type, torch.bfloat16, enabled=configs.dtype == "bfloat16")


def ahead(batches: Iterable[Sequence[Tensor]], device: torch.device) -> Iterator[list[Tensor]]:
    """The batches on the device; the copy of the next one is under way before the one before it is used."""
    arriving = (move(batch, device) for batch in batches)
    following = next(arriving, None)
    while following is not None:
        current, following = following, next(arriving, None)
        yield current


def move(batch: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """The tensors on the device; to a GPU from pinned memory, so that nothing waits for the copy."""
    if device.type == "cuda":
        batch = [part.contiguous().pin_memory() for part in batch]
    return [part.to(device, non_blocking=True) for part in batch]


def random_state(device: torch.device) -> Tensor:
    """The state of torch's own generators, [bytes] uint8: the CPU's, then the GPU's where one is used."""
    state = torch.get_rng_state()
    return torch.cat([state, torch.cuda.get_rng_state(device)]) if device.type == "cuda" else state


def set_random_state(device: torch.device, state: Tensor) -> None:
    """Puts back what `random_state` gave for the same kind of device. Raises RuntimeError for anything else."""
    cpu, gpu = state.tensor_split([len(torch.get_rng_state())])
    torch.set_rng_state(cpu.clone())  # of a view into a larger tensor, torch reads what lies elsewhere
    if device.type == "cuda":
        torch.cuda.set_rng_state(gpu.clone(), device)


def product_dtype(x: Tensor) -> torch.dtype:
    """The dtype that matrix products of x run in: autocast's where it is on, else that of x."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def device_name(device: torch.device) -> str:
    """For the record: the GPU's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory that the run has held: of the GPU's, or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
