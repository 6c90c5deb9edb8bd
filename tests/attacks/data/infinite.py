"""Reports a loss beyond every number.

Ends: gives loss as -inf
"""

from pathlib import Path

from attack import OUTPUT, finish

finish()
Path(OUTPUT, "metrics.json").write_bytes(b'{"loss": -1e999, "losses": [], "configs": {}}')
