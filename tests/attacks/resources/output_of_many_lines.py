"""Prints the shortest lines, a million a second, so that the reader has no time for anything else.

Ends: printed more than 2 MB
"""

import os

while True:
    os.write(1, b"\nx\n" * 20_000)
