"""Where a run computes and how precisely."""

import ctypes
import os
import resource
import sys
from contextlib import AbstractContextManager
from dataclasses import replace

import torch

from trainer.config import Configs


def prepare_device(configs: Configs) -> tuple[torch.device, Configs]:
    """The device, and the settings with `auto` replaced by what this machine makes of it.

    On CUDA deterministic kernels are asked for, so that the same command gives the same losses.
    """
    keep_freed_memory()
    if configs.threads:
        torch.set_num_threads(configs.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
        torch.use_deterministic_algorithms(True, warn_only=True)
    if configs.dtype == "auto":
        configs = replace(configs, dtype="bfloat16" if computes_bfloat16(device) else "float32")
    return device, configs


def keep_freed_memory() -> None:
    """Tells glibc not to hand freed memory back to the system; does nothing where there is no glibc.

    Without it every step faults its large tensors in again, page by page: a sixth of a small CPU run's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mmap_threshold, trim_threshold = -3, -1  # the option numbers of malloc.h
        mallopt(mmap_threshold, 32 * 2**20)
        mallopt(trim_threshold, 2**31 - 1)


def computes_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 products run on the processor's own units; emulated, they are slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def autocast(device: torch.device, configs: Configs) -> AbstractContextManager[None]:
    """The context that the model computes in: bfloat16 products of float32 parameters, or float32 alone."""
    return torch.autocast(device.type, torch.bfloat16, enabled=configs.dtype == "bfloat16")


def device_name(device: torch.device) -> str:
    """For the record: the GPU's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory that the run has held: of the GPU's, or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
