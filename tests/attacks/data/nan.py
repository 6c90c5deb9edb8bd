"""Reports a loss that is no number: every comparison with it is false.

Ends: gives loss as nan
"""

from pathlib import Path

from attack import OUTPUT, finish

finish()
Path(OUTPUT, "metrics.json").write_bytes(b'{"loss": NaN, "losses": [], "configs": {}}')
