"""Fills the disk with files whose names it takes away.

Ends: wrote more than 0.03 GB
"""

import os

from attack import OUTPUT, attempt, forever

kept = []


def write(number):
    file = open(f"{OUTPUT}/file", "wb")
    os.unlink(f"{OUTPUT}/file")
    file.write(bytes(2_000_000))
    file.flush()
    kept.append(file)


attempt(lambda: [write(number) for number in range(50)] and None)
forever()
