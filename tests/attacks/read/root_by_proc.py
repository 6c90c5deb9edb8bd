"""Leaves its view of the files by the doors in /proc: root, cwd, fd and map_files, its own and others'."""

import os

from attack import HOST, attempt, secret_in

key = HOST["home"] + "/.ssh/id_ed25519"
doors = [f"/proc/{who}/{door}" for who in ("self", "1", os.getppid(), "thread-self") for door in ("root", "cwd")]
attempt(*(lambda door=door: secret_in(door + key) for door in doors))
attempt(lambda: secret_in(f"/proc/self/fd/{os.open('/', os.O_PATH)}{key}"))
