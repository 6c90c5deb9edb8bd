"""Writes a file of two gigabytes at once.

Ends: nothing | wrote more than
"""

from attack import OUTPUT, attempt, finish

block = bytes(50_000_000)
attempt(lambda: [open(OUTPUT + "/large", "ab").write(block) for _ in range(40)])
finish()
