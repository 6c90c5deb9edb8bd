"""Reports progress without end: each line of it costs the reader more than a line of text.

Ends: printed more than 2 MB
"""

import os

while True:
    os.write(1, b"step 1/1 loss 1\n" * 1000)
