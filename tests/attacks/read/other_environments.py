"""Looks for an API key in the environment of every other process, of the first and of its own parents above all."""

import os

from attack import SECRET, attempt


def environment(pid):
    return SECRET in open(f"/proc/{pid}/environ", errors="replace").read()


attempt(lambda: environment(1), lambda: environment(os.getppid()))
attempt(*(lambda pid=pid: environment(pid) for pid in range(2, 60)))
attempt(*(lambda pid=pid: environment(pid) for pid in os.listdir("/proc") if pid.isdigit()))
