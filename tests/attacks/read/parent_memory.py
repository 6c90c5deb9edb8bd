"""Reads the memory and the open files of the process that watches it."""

import os

from attack import HOST, attempt

parents = {1, os.getppid(), HOST["laboratory"]} - {os.getpid()}
for pid in parents:
    mine = os.readlink("/proc/self/ns/pid") if os.path.exists("/proc/self/ns/pid") else ""
    # The first process of a namespace of one's own is no parent's: it has nothing that is not ours.
    if pid == 1 and len([name for name in os.listdir("/proc") if name.isdigit()]) <= 4:
        continue
    attempt(
        lambda: open(f"/proc/{pid}/mem", "rb"),
        lambda: [os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")],
        lambda: os.readlink(f"/proc/{pid}/cwd") != os.getcwd(),
    )
