"""Leaves a daemon that outlives the run: a second fork in a session of its own, with all descriptors closed.

Ends: nothing
"""

import os
import signal

from attack import finish, forever, fork


def daemon():
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    fork(lambda: (os.closerange(0, 100), forever()))


os.waitpid(fork(daemon), 0)
finish()
