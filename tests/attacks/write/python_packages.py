"""Plants code that every later Python of this installation runs: a .pth file, sitecustomize, the interpreter."""

import os
import site
import sys
import sysconfig

from attack import HOST, attempt

folders = {*site.getsitepackages(), sysconfig.get_path("purelib"), HOST["packages"], sys.base_prefix + "/lib", "."}
for folder in folders:
    for name in ("evil.pth", "sitecustomize.py", "usercustomize.py"):
        attempt(lambda: open(f"{folder}/{name}", "x"))
attempt(
    lambda: open(sys.executable, "ab"),
    lambda: open(os.path.realpath(sys.executable), "ab"),
    lambda: (
        os.makedirs(site.getusersitepackages()) or open(site.getusersitepackages() + "/usercustomize.py", "w") and None
    ),
)
