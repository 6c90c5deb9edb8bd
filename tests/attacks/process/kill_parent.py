"""Kills what watches it, and what it can guess of the host's processes."""

import os
import signal

from attack import HOST, attempt


def end(pid):
    if pid > 8:
        os.kill(pid, signal.SIGKILL)
        return "killed"


attempt(lambda: end(os.getppid()), lambda: end(HOST["laboratory"]), lambda: end(HOST["bystander"]))
