"""Makes a file that claims to be a terabyte.

Ends: nothing
"""

import os

from attack import OUTPUT, attempt, finish

attempt(
    lambda: open(OUTPUT + "/sparse", "wb").truncate(10**12),
    lambda: os.posix_fallocate(os.open(OUTPUT + "/s", 66), 0, 10**12),
)
finish()
