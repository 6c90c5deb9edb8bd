"""Writes over its own log, and the logs and results of the runs beside it."""

import os

from attack import OUTPUT, attempt

attempt(
    lambda: open(OUTPUT + ".log", "w"),
    lambda: open(OUTPUT + ".hidden.log", "w"),
    lambda: os.mkdir(OUTPUT + "/../other"),
    lambda: os.ftruncate(1, 0) or "log cut",
)
