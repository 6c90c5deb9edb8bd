"""Starts processes that start processes; a real one would not stop at two thousand, which is enough to be seen.

Ends: had more than 150 processes | denied
"""

import os

from attack import attempt, finish


def bomb():
    for _ in range(11):
        os.fork()


attempt(bomb)
finish()
