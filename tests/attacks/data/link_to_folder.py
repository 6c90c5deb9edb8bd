"""Leaves a folder that is a link to the root.

Ends: link or a special file
"""

import os

from attack import OUTPUT, finish

finish()
os.symlink("/", OUTPUT + "/plots")
