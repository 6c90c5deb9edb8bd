"""Reports a number of a million digits, which takes a reader minutes.

Ends: cannot be used
"""

from pathlib import Path

from attack import OUTPUT, finish

finish()
Path(OUTPUT, "metrics.json").write_bytes(b'{"loss": ' + b"9" * 1_000_000 + b"}")
