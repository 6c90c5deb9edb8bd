"""Reports bytes that are no text.

Ends: cannot be used
"""

from pathlib import Path

from attack import OUTPUT, finish

finish()
Path(OUTPUT, "metrics.json").write_bytes(b"\xff\xfe\x00{}")
