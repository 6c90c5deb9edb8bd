"""Changes what is not a file's content: its mode, owner, times and attributes, so that others can read or date it."""

import os

from attack import HOST, attempt

for file in (
    HOST["home"] + "/.ssh/id_ed25519",
    HOST["home"],
    HOST["repository"] + "/.git",
    HOST["base_tree"] + "/evaluate.py",
):
    attempt(
        lambda: os.chmod(file, 0o777),
        lambda: os.chown(file, 65534, 65534),
        lambda: os.utime(file, (0, 0)),
        lambda: os.setxattr(file, "user.evil", b"1"),
        lambda: os.truncate(file, 0),
    )
