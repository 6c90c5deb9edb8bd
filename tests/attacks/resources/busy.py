"""Computes for ever.

Ends: took longer
"""

while True:
    pass
