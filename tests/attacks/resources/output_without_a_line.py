"""Prints without end and without a line's end, on both streams.

Ends: printed more than 2 MB
"""

import os

while True:
    os.write(1, b"x" * 100_000)
    os.write(2, b"y" * 100_000)
