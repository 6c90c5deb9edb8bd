"""Kills every process that it may: in a sandbox these are its own."""

import os
import signal

try:
    os.kill(-1, signal.SIGKILL)
except OSError:
    print("denied")
print("denied: nobody else was there, or all of the host's still are")
