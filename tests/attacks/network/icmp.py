"""Pings: raw packets, and the kernel's own ping sockets."""

import socket

from attack import attempt


def ping(kind, address):
    with socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP) as sender:
        return sender.sendto(b"\x08\x00\xf7\xff\0\0\0\0", (address, 0))


attempt(
    lambda: ping(socket.SOCK_RAW, "192.0.2.1"),
    lambda: ping(socket.SOCK_DGRAM, "192.0.2.1"),
    lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x300),
)
