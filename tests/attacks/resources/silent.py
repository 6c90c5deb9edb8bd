"""Closes its output, so that its reader sees an end, and goes on.

Ends: took longer
"""

import os

from attack import forever

os.close(1)
os.close(2)
forever()
