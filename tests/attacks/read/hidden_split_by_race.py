"""Swaps a link between an allowed file and the hidden split while it is being opened, for a check that looks twice."""

import os
import threading
import time

from attack import DATA, OUTPUT, SECRET, attempt

os.chdir(OUTPUT)
allowed, hidden, over = DATA + "/open/train.txt", DATA + "/hidden/answers.txt", threading.Event()


def swap():
    while not over.is_set():
        for target in (allowed, hidden):
            os.symlink(target, "next")
            os.rename("next", "link")


def look():
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        try:
            if SECRET in open("link").read():
                return True
        except OSError:
            pass
    return False


threading.Thread(target=swap, daemon=True).start()
attempt(look)
over.set()
