"""Reads the journals: the secret that seeds are derived from lies beside them."""

import os

from attack import HOST, OUTPUT, attempt, secret_in

attempt(
    lambda: secret_in(HOST["journal"]),
    lambda: secret_in(HOST["journal"] + "-wal"),
    lambda: open(OUTPUT + "/../../journal.sqlite", "rb").read(),
    lambda: [name for name in os.listdir(OUTPUT + "/..") if name != os.path.basename(OUTPUT)],
)
