"""Crashes with a large memory, to leave a core dump where the system keeps them.

Ends: exit code|Segmentation|Fatal | denied
"""

import ctypes
import resource

try:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
except (OSError, ValueError):
    print("denied")
memory = bytearray(b"x" * 50_000_000)
ctypes.string_at(0)
