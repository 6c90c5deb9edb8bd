"""Renames a file of its own over a protected one, and a protected folder away."""

import os

from attack import DATA, HOST, OUTPUT, attempt

open(OUTPUT + "/mine", "w").write("evil")
attempt(
    lambda: os.rename(OUTPUT + "/mine", HOST["home"] + "/.bashrc"),
    lambda: os.rename(OUTPUT + "/mine", DATA + "/open/train.txt"),
    lambda: os.rename(OUTPUT, OUTPUT + ".moved") or os.mkdir(OUTPUT),
    lambda: os.rename(os.getcwd(), OUTPUT + "/tree"),
)
