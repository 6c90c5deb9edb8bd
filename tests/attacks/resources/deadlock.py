"""Waits for itself.

Ends: took longer
"""

import threading

lock = threading.Lock()
lock.acquire()
lock.acquire()
