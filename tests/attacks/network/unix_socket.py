"""Talks to a program of the host by a socket in the file system, as docker's, through which one is root."""

import socket

from attack import HOST, attempt


def connect(path, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_UNIX, kind) as caller:
        caller.connect(path)
        return "connected"


attempt(
    lambda: connect(HOST["unix_socket"]),
    lambda: connect(HOST["unix_datagram"], socket.SOCK_DGRAM),
    lambda: connect("/var/run/docker.sock"),
    lambda: connect("/run/dbus/system_bus_socket"),
)
