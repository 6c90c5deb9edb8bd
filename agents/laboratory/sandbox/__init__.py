"""What protects the machine from generated code, or nothing where a person asked for nothing.

A sandboxed process sees the system's programs, this Python, and the paths it is given, each at its own place. It has
no network, no capabilities, no other process to harm, and only the environment that it is given. Killing the process
that `wrap`'s command starts ends all that it started, daemons too, and so does the end of its parent.

`choose` takes the first backend that holds the trial of `trial.py` here: bubblewrap (namespaces), sandlock (Landlock
and seccomp, where namespaces are forbidden), or macOS's sandbox-exec.
"""

from agents.laboratory.sandbox.choice import backends, choose, named
from agents.laboratory.sandbox.sandbox import Confinement, Sandbox
from agents.laboratory.sandbox.unprotected import Unprotected

__all__ = ["Confinement", "Sandbox", "Unprotected", "backends", "choose", "named"]
