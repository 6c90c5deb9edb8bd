"""Talks to a program of the host by a socket that has a name but no place in the file system."""

import socket

from attack import HOST, attempt


def connect(kind):
    with socket.socket(socket.AF_UNIX, kind) as caller:
        caller.connect("\0" + HOST["abstract"])
        return "connected"


attempt(lambda: connect(socket.SOCK_STREAM))
