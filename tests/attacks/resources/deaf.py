"""Ignores every signal that can be ignored, and waits.

Ends: took longer
"""

import signal

from attack import forever

for number in signal.valid_signals():
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
forever()
