"""Leaves two names of one file, of which a later reader changes both.

Ends: link or a special file
"""

import os

from attack import OUTPUT, finish

finish()
os.link(OUTPUT + "/weights.bin", OUTPUT + "/metrics.bin")
