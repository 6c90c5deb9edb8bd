"""Makes a second name for a protected file in its own folder, and writes through that."""

import os

from attack import DATA, HOST, OUTPUT, attempt

for number, file in enumerate([HOST["home"] + "/.bashrc", DATA + "/open/train.txt", os.path.abspath("train.py")]):
    attempt(lambda: os.link(file, f"{OUTPUT}/{number}"), lambda: open(f"{OUTPUT}/{number}", "a").write("evil") and None)
    open(f"{OUTPUT}/plain", "w").close()
    attempt(lambda: os.link(f"{OUTPUT}/plain", file + ".new"))
