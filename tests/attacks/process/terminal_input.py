"""Types into the person's terminal: TIOCSTI on every descriptor and on the terminal itself."""

import fcntl

from attack import attempt

TIOCSTI, TIOCLINUX = 0x5412, 0x541C


def type_into(descriptor):
    fcntl.ioctl(descriptor, TIOCSTI, b"x")
    return "typed"


attempt(*(lambda descriptor=descriptor: type_into(descriptor) for descriptor in (0, 1, 2)))
attempt(lambda: type_into(open("/dev/tty", "r+b", buffering=0)), lambda: open("/dev/console", "wb"))
