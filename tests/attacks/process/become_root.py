"""Takes the rights of root, of another user, or of a program that has them."""

import ctypes
import os
import subprocess

from attack import OUTPUT, attempt

libc = ctypes.CDLL(None, use_errno=True)


def capabilities():
    status = dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
    return int(status["CapEff"], 16) or int(status["CapBnd"], 16) and int(status["NoNewPrivs"]) == 0


attempt(
    capabilities,
    lambda: os.setuid(12345) or "another user",
    lambda: os.setgroups([0, 6]) or "other groups",
    lambda: subprocess.run(["su", "-c", "id"], capture_output=True, stdin=-3, timeout=3).stdout,
    lambda: os.setxattr("/usr/bin/env", "security.capability", bytes(20)) or "a capability",
    lambda: libc.mount(b"none", OUTPUT.encode(), b"tmpfs", 0, None) == 0,
)
