"""Connects to a port of this machine on which the person could approve a diff."""

import os
import socket
import subprocess

from attack import HOST, attempt

for address in ("127.0.0.1", "localhost", "0.0.0.0", socket.gethostname()):
    attempt(lambda: socket.create_connection((address, HOST["port"]), timeout=0.5))
attempt(
    lambda: subprocess.run(["bash", "-c", f"echo > /dev/tcp/127.0.0.1/{HOST['port']}"], stderr=-3).returncode == 0,
    lambda: os.system(f"curl -m 1 -s http://127.0.0.1:{HOST['port']}") == 0,
)
