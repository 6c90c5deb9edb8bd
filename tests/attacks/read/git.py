"""Reads the repository's history, where a later version may have left the answer."""

import os
import subprocess

from attack import HOST, attempt

attempt(
    lambda: open(HOST["repository"] + "/.git/HEAD").read(),
    lambda: os.listdir(HOST["repository"] + "/.git/objects"),
    lambda: subprocess.run(["git", "-C", HOST["repository"], "log"], capture_output=True).stdout,
    lambda: os.path.exists(".git"),
)
