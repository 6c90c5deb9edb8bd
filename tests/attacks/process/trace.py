"""Traces a process of the host, or reads its memory without tracing it."""

import ctypes
import os

from attack import HOST, attempt

libc = ctypes.CDLL(None, use_errno=True)
ATTACH, SEIZE = 16, 0x4206


def traced(request, pid):
    return libc.ptrace(request, pid, 0, 0) == 0 and "traced"


class Block(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


def memory(pid):
    buffer = ctypes.create_string_buffer(16)
    here, there = Block(ctypes.addressof(buffer), 16), Block(id(0), 16)
    return libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) > 0 and buffer.raw


for pid in (os.getppid(), HOST["laboratory"], HOST["bystander"]):
    if pid > 8:
        attempt(lambda: traced(ATTACH, pid), lambda: traced(SEIZE, pid), lambda: memory(pid))
