"""Stops itself and its whole group, so that no code of it runs that could be asked to end.

Ends: took longer
"""

import os
import signal

from attack import fork

fork(lambda: os.kill(os.getpid(), signal.SIGSTOP))
os.kill(0, signal.SIGSTOP)
os.kill(os.getpid(), signal.SIGSTOP)
