"""Reports a nesting so deep that a reader by recursion falls.

Ends: cannot be used
"""

from pathlib import Path

from attack import OUTPUT, finish

finish()
Path(OUTPUT, "metrics.json").write_bytes(b"[" * 100_000)
