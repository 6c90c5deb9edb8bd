"""Reads the person's SSH key."""

import os

from attack import HOST, attempt, secret_in

attempt(
    lambda: secret_in(HOST["home"] + "/.ssh/id_ed25519"),
    lambda: secret_in(os.path.expanduser("~/.ssh/id_ed25519")),
    lambda: os.listdir(HOST["home"]),
)
