"""Starts threads without end.

Ends: had more than 150 processes | denied
"""

import threading

from attack import attempt, forever


def bomb():
    while True:
        try:
            threading.Thread(target=forever, daemon=True).start()
        except RuntimeError as error:
            raise OSError(str(error)) from error


attempt(bomb)
forever()
