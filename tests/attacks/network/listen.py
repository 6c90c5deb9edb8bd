"""Waits for a connection from outside, on a port that the host's other programs can reach."""

import socket
import time

from attack import HOST, attempt


def serve():
    with socket.socket() as server:
        server.bind(("0.0.0.0", HOST["free_port"]))
        server.listen()
        server.settimeout(1.5)
        return server.accept()


attempt(serve)
time.sleep(0)
