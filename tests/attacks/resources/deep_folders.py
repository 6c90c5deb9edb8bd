"""Hides its files so deep that their path is too long to be looked at.

Ends: made more than 300 files or hid some
"""

import os

from attack import OUTPUT, attempt, forever

os.chdir(OUTPUT)


def dig():
    for _ in range(40):
        os.mkdir("x" * 200)
        os.chdir("x" * 200)
    open("file", "wb").write(bytes(5_000_000))


attempt(dig)
forever()
