"""Makes a device of its own and reads the disk or the memory past the file system."""

import os
import stat

from attack import OUTPUT, attempt


def device(kind, major, minor):
    os.mknod(f"{OUTPUT}/device", 0o600 | kind, os.makedev(major, minor))
    return open(f"{OUTPUT}/device", "rb").read(512)


attempt(*(lambda number=number: device(stat.S_IFBLK, *number) for number in ((8, 0), (253, 0), (254, 0), (259, 0))))
attempt(lambda: device(stat.S_IFCHR, 1, 1), lambda: open("/dev/mem", "rb").read(1), lambda: open("/dev/kmsg").read(1))
attempt(*(lambda name=name: open("/dev/" + name, "rb").read(1) for name in ("sda", "vda", "nvme0n1", "fuse", "kvm")))
