"""A handful of attacks on a decoy, tried before a sandbox is trusted: `complaint` says which of them got through."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from agents.laboratory.sandbox.sandbox import Sandbox

_SECONDS = 30
_SECRET = "CIRCLE_TRIAL_SECRET"  # noqa: S105  (a variable's name)

# Each must end in an error. What writes need not, as long as the host's files are what they were. A parent with a
# very small id, as in a container, may share it with a process of the sandbox's own.
_ATTACKS = {
    "reads a file beside its own": "open(secret).read()",
    "reads what is concealed": "assert open(concealed).read()",
    "follows a link out": "os.symlink(secret, 'link'); open('link').read()",
    "connects to a local port": "socket.create_connection(('127.0.0.1', port), 1)",
    "connects to a local socket": "socket.socket(socket.AF_UNIX).connect(unix)",
    "reads its parent's environment": "assert name in open(f'/proc/{parent}/environ').read()",
    "signals its parent": "assert parent > 8; os.kill(parent, 0)",
    "limits its parent": "assert parent > 8; resource.prlimit(parent, resource.RLIMIT_CORE)",
    "sees the environment": "os.environ[name]",
    "sees the environment of what started it": "assert name in open('/proc/1/environ').read()",
    "can change the kernel's settings": "open('/proc/sys/kernel/core_pattern', 'a')",
}
_WRITES = (
    "open(secret, 'w')",
    "open(readable, 'w')",
    "os.chmod(secret, 0o777)",
    "os.truncate(readable, 0)",
    "os.unlink(readable)",
)
_PROGRAM = """
import json, os, resource, socket, sys
given = json.loads(sys.argv[1])
open("written", "w").close()
assert open(given["readable"]).read() == "shown"
through = []
for what, attack in given.pop("attacks"):
    try:
        exec(attack, globals() | given)
    except (OSError, KeyError, AssertionError):
        continue
    if what:
        through.append(what)
print(json.dumps(through))
"""


def complaint(sandbox: Sandbox) -> str:
    """Try the attacks inside; return why the sandbox is not to be trusted, or nothing if it is."""
    with tempfile.TemporaryDirectory(prefix="circle-trial-") as name, socket.create_server(("127.0.0.1", 0)) as server:
        try:
            folder = Path(name).resolve()
            _furnish(folder)
            before = _state(folder)
            said = _judged(_try(sandbox, folder, server.getsockname()[1]))
            return said or ("" if _state(folder) == before else "in it, a program changes a file beside its own")
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            return f"the trial failed: {error}"


def _furnish(folder: Path) -> None:
    for name in ("shown", "own"):
        (folder / name).mkdir()
    for file, text in (("secret", "secret"), ("shown/readable", "shown"), ("shown/concealed", "secret")):
        (folder / file).write_text(text)


def _state(folder: Path) -> list[tuple[str, int]]:
    """What the files are that the program may not change: their text and mode."""
    files = (folder / "secret", folder / "shown" / "readable", folder / "shown" / "concealed")
    return [(file.read_text(), file.stat().st_mode) for file in files]


def _try(sandbox: Sandbox, folder: Path, port: int) -> subprocess.CompletedProcess[str]:
    shown, own = folder / "shown", folder / "own"
    given = {
        "secret": str(folder / "secret"),
        "readable": str(shown / "readable"),
        "concealed": str(shown / "concealed"),
        "unix": str(folder / "socket"),
        "port": port,
        "parent": os.getpid(),
        "name": _SECRET,
        "attacks": [*_ATTACKS.items(), *(("", write) for write in _WRITES)],
    }
    with socket.socket(socket.AF_UNIX) as local:
        local.bind(str(folder / "socket"))
        local.listen()
        return subprocess.run(
            sandbox.wrap(
                [sys.executable, "-I", "-S", "-c", _PROGRAM, json.dumps(given)],
                cwd=own,
                readable=[shown],
                writable=[own],
                concealed=[shown / "concealed"],
            ),
            env=os.environ | {_SECRET: "secret"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )


def _judged(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode != 0:
        said = done.stderr.strip().split("\n")
        return said[-1] or f"it ended with {done.returncode}"
    through = json.loads(done.stdout)
    return f"in it, a program {through[0]}" if through else ""
