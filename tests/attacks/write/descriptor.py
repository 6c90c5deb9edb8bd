"""Writes through a descriptor that was opened for reading, by opening it again in /proc."""

import os

from attack import DATA, attempt

opened = os.open(DATA + "/open/train.txt", os.O_RDONLY)
attempt(
    lambda: open(f"/proc/self/fd/{opened}", "w"),
    lambda: os.ftruncate(opened, 0),
    lambda: os.fchmod(opened, 0o777) or "mode changed",
)
