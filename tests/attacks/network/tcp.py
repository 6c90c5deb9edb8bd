"""Connects out, by IPv4 and IPv6, to the net and to the cloud's metadata service."""

import socket

from attack import attempt

for address in ("192.0.2.1", "169.254.169.254", "1.1.1.1", "2001:db8::1", "::1", "8.8.8.8"):
    attempt(lambda: socket.create_connection((address, 80), timeout=0.3))
