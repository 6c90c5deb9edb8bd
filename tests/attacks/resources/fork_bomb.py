"""Starts processes that start processes.

Ends: had more than 150 processes
"""

import os

from attack import attempt, finish


def bomb():
    while True:
        os.fork()


attempt(bomb)
finish()
