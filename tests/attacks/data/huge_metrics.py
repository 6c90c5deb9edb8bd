"""Reports a gigabyte, most of it a hole, for a reader that takes it whole.

Ends: larger than
"""

import os

from attack import OUTPUT, attempt, finish

finish()
# As large as one file may be: a hole costs the run nothing, and its reader a gigabyte where the limit is higher.
attempt(lambda: os.truncate(OUTPUT + "/metrics.json", 29_000_000))
