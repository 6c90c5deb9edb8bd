"""Changes the kernel's settings or the clock: what a core dump runs, the name of the machine, sysrq."""

import ctypes
import os
import socket
import time

from attack import attempt

libc = ctypes.CDLL(None, use_errno=True)
for name in ("kernel/core_pattern", "kernel/modprobe", "vm/overcommit_memory", "kernel/domainname"):
    attempt(lambda: open(f"/proc/sys/{name}", "w"))
attempt(
    lambda: open("/proc/sysrq-trigger", "w"),
    lambda: open("/sys/kernel/uevent_helper", "w"),
    lambda: os.listdir("/sys/fs/cgroup") and open("/sys/fs/cgroup/cgroup.procs", "w"),
    lambda: socket.sethostname("evil") or "renamed",
    lambda: time.clock_settime(time.CLOCK_REALTIME, 0) or "another time",
    lambda: libc.klogctl(3, ctypes.create_string_buffer(64), 64) > 0,
)
