"""Prints two gigabytes.

Ends: printed more than 2 MB
"""

import os

block = b"all work and no play\n" * 10_000
for _ in range(10_000):
    os.write(1, block)
