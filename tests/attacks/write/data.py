"""Edits the training data that all runs share, and the prepared folder around it."""

import os

from attack import DATA, attempt

attempt(
    lambda: open(DATA + "/open/train.txt", "w"),
    lambda: os.truncate(DATA + "/open/train.txt", 0),
    lambda: os.unlink(DATA + "/open/train.txt"),
    lambda: os.mkdir(DATA + "/open/more"),
    lambda: open(DATA + "/hidden/answers.txt", "w").write("weights") and None,
)
