"""Reports half a character, which can be read but not written again.

Ends: cannot be used
"""

from pathlib import Path

from attack import OUTPUT, finish

finish()
Path(OUTPUT, "metrics.json").write_bytes(b'{"loss": 1.0, "losses": [], "configs": {"name": "\\ud800"}}')
