"""Takes the disk's inodes: many files without a byte.

Ends: made more than 300 files
"""

from attack import OUTPUT, attempt, forever

attempt(lambda: [open(f"{OUTPUT}/{number}", "w").close() for number in range(2000)] and None)
forever()
