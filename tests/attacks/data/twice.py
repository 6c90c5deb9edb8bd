"""Reports its loss twice, for two readers that take different ones.

Ends: twice
"""

from pathlib import Path

from attack import OUTPUT, finish

finish()
Path(OUTPUT, "metrics.json").write_bytes(b'{"loss": 9.0, "loss": 0.1, "losses": [], "configs": {}}')
