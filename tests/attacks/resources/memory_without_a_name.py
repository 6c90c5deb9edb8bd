"""Fills a file that lies in memory and that no process maps.

Ends: used more than 0.4 GB of memory | denied
"""

import os

from attack import attempt, forever

attempt(lambda: [os.write(os.memfd_create(""), bytes(25_000_000)) and None for _ in range(100)] and None)
forever()
