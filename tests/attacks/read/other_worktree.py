"""Reads the person's checkout: another worktree, uncommitted work, another session's trees."""

import os

from attack import HOST, attempt, secret_in

attempt(
    lambda: secret_in(HOST["repository"] + "/notes.txt"),
    lambda: secret_in(HOST["worktree"] + "/notes.txt"),
    lambda: [name for name in os.listdir(HOST["repository"] + "/.circle/trees") if name != os.path.basename(os.getcwd())],
)
