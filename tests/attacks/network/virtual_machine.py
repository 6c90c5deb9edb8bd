"""Talks to the machine below this one, or to the kernel, by socket families that have no network: vsock, netlink."""

import socket

from attack import attempt


def vsock():
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as caller:
        caller.settimeout(0.3)
        caller.connect((2, 22))
        return "connected"


def kernel_log():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9) as caller:  # audit
        caller.bind((0, 1))
        return "bound"


attempt(vsock, kernel_log)
