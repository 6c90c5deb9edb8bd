"""Edits its own exported tree, from which the next run of this commit and the evaluation of this one would go on."""

import os

from attack import attempt

here = os.path.dirname(os.path.abspath(__file__))
attempt(
    lambda: open(here + "/evaluate.py", "w"),
    lambda: open(here + "/conftest.py", "w"),
    lambda: os.unlink(here + "/train.py"),
    lambda: os.rename(here + "/attack.py", here + "/other.py"),
    lambda: os.mkdir(here + "/attack"),
)
