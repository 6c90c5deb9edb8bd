"""Gives the processes of the host a limit that ends them, a low priority, and one processor."""

import os
import resource

from attack import HOST, attempt

for pid in (HOST["laboratory"], HOST["bystander"]):
    attempt(
        lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1)),
        lambda: os.setpriority(os.PRIO_PROCESS, pid, 19) or "slowed",
        lambda: os.sched_setaffinity(pid, {0}) or "moved",
        lambda: os.pidfd_open(pid),
    )
