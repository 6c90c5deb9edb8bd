"""Leaves a pipe in place of a file, at which a reader waits for ever.

Ends: link or a special file | denied
"""

import os

from attack import OUTPUT, attempt, finish

finish()
os.unlink(OUTPUT + "/metrics.json")
attempt(lambda: os.mkfifo(OUTPUT + "/metrics.json"))
