"""Prepares the data: what training may see lies in `open`, the hidden split beside it."""

import sys
from pathlib import Path

data = Path(sys.argv[1])
for name, text in (("open/train.txt", "to learn from"), ("hidden/answers.txt", "swordfish")):
    (data / name).parent.mkdir(parents=True)
    (data / name).write_text(text)
