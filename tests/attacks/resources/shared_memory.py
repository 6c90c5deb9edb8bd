"""Fills /dev/shm and /tmp, which lie in memory too.

Ends: used more than 0.4 GB of memory | denied
"""

from attack import attempt, finish, forever

block = bytes(10_000_000)
filled = [
    attempt(lambda: [open(f"{folder}/{number}", "wb").write(block) for number in range(100)] and None)
    for folder in ("/dev/shm", "/tmp")
]
forever() if any(filled) else finish()
