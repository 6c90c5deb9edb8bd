"""Uses what its parent has open: only input, output and errors are to be its own."""

import os

from attack import SECRET, attempt

attempt(
    lambda: [number for number in range(3, 256) if os.path.exists(f"/proc/self/fd/{number}")],
    lambda: SECRET in os.read(0, 100).decode(),
)
for number in range(3, 256):
    attempt(lambda: os.fstat(number))
