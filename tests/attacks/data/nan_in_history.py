"""Reports a history that is no number, for a reader that looks at the last value alone.

Ends: not a finite number
"""

from pathlib import Path

from attack import OUTPUT, finish

finish()
Path(OUTPUT, "metrics.json").write_bytes(b'{"loss": 1.0, "losses": [NaN, 1e999], "configs": {"a": NaN}}')
