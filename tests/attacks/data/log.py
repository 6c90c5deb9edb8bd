"""Prints what is no text, and what steers a terminal, as its last words, and fails.

Ends: \\x1b\[2J
"""

import os

os.write(1, b"denied\n\xff\xfe\x00\xc3\x28\n" + "\x1b[2J\x1b]52;c;ZXZpbA==\x07\u202e\U000e0041evil\n".encode())
raise SystemExit(1)
