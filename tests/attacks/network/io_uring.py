"""Lets the kernel make its calls for it, past a filter of calls: io_uring."""

import ctypes

from attack import HOST, attempt

libc = ctypes.CDLL(None, use_errno=True)
SETUP = 425


def ring():
    parameters = (ctypes.c_ubyte * 120)()
    made = libc.syscall(SETUP, 4, parameters)
    # A ring by itself does no harm in a network and a view of one's own; the parent counts only what it reaches.
    return made >= 0 and HOST["filters_calls"]


attempt(ring)
