"""Leaves weights that are a link to the hidden split, so that the evaluation reads the answers for it.

Ends: link or a special file
"""

import os

from attack import DATA, OUTPUT, finish

finish()
os.unlink(OUTPUT + "/weights.bin")
os.symlink(DATA + "/hidden/answers.txt", OUTPUT + "/weights.bin")
