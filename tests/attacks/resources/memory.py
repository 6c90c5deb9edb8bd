"""Takes thirty gigabytes.

Ends: used more than 0.4 GB of memory
"""

from attack import attempt

attempt(lambda: [bytearray(16_000_000) for _ in range(2000)])
