"""What every attack begins with: where the host keeps its treasures, and what counts as getting through.

A treasure holds the word swordfish. `attempt` says "GOT THROUGH" if a try returned something that is true, and
"denied" if it met an error or returned nothing; writes are judged on the host, whose files must be what they were.
"""

import json
import os
import sys
import time
from pathlib import Path

HOST = json.loads(Path(__file__).with_name("host.json").read_text())
OUTPUT = sys.argv[sys.argv.index("--output_dir") + 1]
DATA = sys.argv[sys.argv.index("--data") + 1]
SECRET = "swordfish"


def attempt(*tries):
    """Try each; return whether one met no error. An error of the system is a denial, a mistake in the attack is not."""
    refused = 0
    for number, action in enumerate(tries, 1):
        try:
            got = action()
        except (OSError, ImportError, MemoryError, EOFError) as error:
            print(f"denied {number}: {type(error).__name__} {error}")
            refused += 1
        else:
            print(f"GOT THROUGH {number}: {got!r}" if got else f"denied {number}")
    return refused < len(tries)


def secret_in(path):
    """Whether a file can be read and holds the secret."""
    return SECRET in open(path, errors="replace").read()


def finish(loss=1.0, **more):
    """Leave what an honest run leaves."""
    Path(OUTPUT, "weights.bin").write_bytes(b"weights")
    Path(OUTPUT, "metrics.json").write_text(json.dumps({"loss": loss, "losses": [loss], "configs": {}} | more))
    print("finished")


def forever():
    """Never end by oneself."""
    while True:
        time.sleep(1)


def fork(action):
    """Do something in a process of its own; return its id."""
    if pid := os.fork():
        return pid
    action()
    os._exit(0)
