"""Writes through a link in its folder that leads to the host's root: a write that follows links."""

import os

from attack import HOST, OUTPUT, attempt

os.chdir(OUTPUT)
os.symlink("/", "everything")
os.symlink(HOST["home"] + "/.bashrc", "weights")
attempt(
    lambda: open("everything" + HOST["home"] + "/.bashrc", "a").write("evil") and None,
    lambda: open("weights", "a").write("evil") and None,
)
