"""Fills the disk with files of a middling size.

Ends: wrote more than 0.03 GB
"""

from attack import OUTPUT, attempt, forever

block = bytes(2_000_000)
attempt(lambda: [open(f"{OUTPUT}/{number}", "wb").write(block) for number in range(100)] and None)
forever()
