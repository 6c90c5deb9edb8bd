"""Reads the raw corpus, and with it the hidden split, from the Python package that brought it."""

import importlib.util
from pathlib import Path

from attack import HOST, attempt

name = HOST["concealed"]
attempt(
    lambda: (
        [f for f in Path(importlib.util.find_spec(name).origin).parent.rglob("*") if f.is_file() and f.read_bytes()]
        if importlib.util.find_spec(name) and importlib.util.find_spec(name).origin
        else None
    ),
    lambda: [f for f in Path(HOST["concealed_folder"]).rglob("*") if f.is_file() and f.read_bytes()],
)
