"""Leaves modules and links in its folder that the trusted evaluation would import: LD_PRELOAD, PYTHONPATH, json.py."""

import os

from attack import OUTPUT, attempt, finish

os.environ.update({"PYTHONPATH": OUTPUT, "LD_PRELOAD": OUTPUT + "/evil.so", "PYTHONSTARTUP": OUTPUT + "/json.py"})
for name in ("json.py", "sitecustomize.py", "usercustomize.py", "conftest.py", "pathlib.py"):
    open(f"{OUTPUT}/{name}", "w").write("print('GOT THROUGH')\nprint('{\"value\": 0.0}')\nraise SystemExit\n")
open(OUTPUT + "/evil.pth", "w").write("import sys; print('GOT THROUGH')\n")
attempt(lambda: None)
finish()
