"""Leaves a folder in place of the metrics file.

Ends: no file metrics.json
"""

import os

from attack import OUTPUT, finish

finish()
os.unlink(OUTPUT + "/metrics.json")
os.mkdir(OUTPUT + "/metrics.json")
