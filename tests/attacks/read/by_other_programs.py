"""Lets a program of the system read what it may not: what a child may do is no more."""

import subprocess

from attack import HOST, SECRET, attempt

key = HOST["home"] + "/.ssh/id_ed25519"
commands = (["cat", key], ["sh", "-c", f"cat < {key}"], ["tar", "cf", "-", key], ["su", "-c", f"cat {key}"], ["mount"])
attempt(
    *(
        lambda command=command: SECRET in subprocess.run(command, capture_output=True, text=True, timeout=3).stdout
        for command in commands
    )
)
