"""Takes its memory in many processes, each of which is small.

Ends: used more than 0.4 GB of memory
"""

from attack import forever, fork

children = [
    fork(lambda: (bytearray(b"x" * 20_000_000), block.append(bytearray(b"x" * 20_000_000)), forever()))
    for block in [[] for _ in range(60)]
]
forever()
