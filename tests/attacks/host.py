"""A host with treasures, and the laboratory on it that runs one attack after another, as it runs any patch."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.journal import Journal
from agents.laboratory.local import LocalLaboratory
from agents.laboratory.sandbox import Sandbox
from agents.ports import Order
from agents.records import Run
from agents.settings import Target, load_target
from agents.workspace import GitWorkspace
from tests.commands import git

HERE = Path(__file__).parent
SECRET = "swordfish"
_DYING_SECONDS = 10
_SHORT_SECONDS, _LONG_SECONDS = 3, 60
CATEGORIES = ("read", "write", "resources", "network", "process", "data")
_TREASURES = (
    *("home/.ssh/id_ed25519", "home/.netrc", "home/.aws/credentials", "home/.config/gh", "home/.bashrc"),
    *("repository/notes.txt", "repository/.circle/sessions/old/journal.sqlite"),
    *(
        "repository/.circle/sessions/old/journal.sqlite-wal",
        "worktree/notes.txt",
        "corpus/concealed_corpus/__init__.py",
    ),
)


@dataclass(frozen=True)
class Attack:
    """One attack: a train.py, and how its run ends if that is not for the attack to say."""

    file: Path

    @property
    def name(self) -> str:
        return f"{self.file.parent.name}/{self.file.stem}"

    @property
    def ends(self) -> list[str]:
        """What the run's error holds, one of these; "nothing" for a run that ends well, "denied" for any end."""
        found = re.search(r"^Ends: (.*)$", self.file.read_text(), re.MULTILINE)
        return found[1].split(" | ") if found else ["denied", "nothing"]


@dataclass
class Outcome:
    """What became of an attack: its run, its log, and what it did to the host."""

    run: Run
    log: str
    damage: list[str]

    def through(self, attack: Attack) -> str:
        """Return how the attack got through, or nothing."""
        if self.damage:
            return f"the host: {', '.join(self.damage[:5])}"
        if said := [line for line in self.log.splitlines() if "GOT THROUGH" in line]:
            return said[0]
        if not any(self._as(end) for end in attack.ends):
            return f"ended as {self.run.status}: {self.run.error}; its last words: {self.log[-300:]}"
        if self.run.status == "done" and self.run.hidden != 1.0:
            return f"the hidden split gives {self.run.hidden}"
        return ""

    def _as(self, end: str) -> bool:
        if end == "denied":
            return "denied" in self.log
        if end == "nothing":
            return self.run.status == "done"
        return re.search(end, self.run.error or "") is not None


@dataclass
class Host:
    """A home, a repository with a worktree, listening programs and a bystander, below one folder."""

    root: Path
    base: str = ""
    listeners: dict[str, socket.socket] = field(default_factory=dict)
    free_port: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def workspace(self) -> GitWorkspace:
        return GitWorkspace(self.root / "repository")

    def state(self) -> dict[str, str]:
        """What every file is, its kind, mode, owner, time and bytes.

        Not the laboratory's own record of the runs and its secret, nor git's objects, to which it adds what a run sees.
        """
        found: dict[str, str] = {}
        for folder, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if name not in ("lab", "objects")]
            files = [name for name in files if name != "secret"]
            found |= {
                str(path.relative_to(self.root)): _state(path) for path in map(Path(folder).joinpath, folders + files)
            }
        return found

    def call(self) -> None:
        """Try, again and again, whether somebody serves the port that was free."""
        while not self.over.wait(0.2):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.free_port), 0.1).close()

    def arrived(self) -> list[str]:
        """What came in at the host's sockets since the last look."""
        came = []
        for name, listener in self.listeners.items():
            with contextlib.suppress(BlockingIOError):
                if listener.type == socket.SOCK_STREAM:
                    listener.accept()[0].close()
                else:
                    listener.recv(100)
                came.append(f"something came to {name}")
        return came


@contextlib.contextmanager
def host() -> Iterator[Host]:
    """Give a host. It does not lie in /tmp, of which a sandbox may have its own, so that a way out would be seen."""
    with (
        tempfile.TemporaryDirectory(prefix="circle-host-", dir="/var/tmp") as folder,
        subprocess.Popen(["sleep", "1000"]) as bystander,
    ):
        made = Host(Path(folder))
        try:
            _furnish(made, bystander.pid)
            caller = threading.Thread(target=made.call, daemon=True)
            caller.start()
            yield made
            assert bystander.poll() is None, "the bystander was ended"
        finally:
            made.over.set()
            bystander.kill()
            for listener in made.listeners.values():
                listener.close()


def _furnish(made: Host, bystander: int) -> None:
    for name in _TREASURES:
        file = made.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(SECRET)
        file.chmod(0o600)
    repository = made.root / "repository"
    shutil.copytree(HERE / "target", repository, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    (repository / ".gitignore").write_text(".circle\nnotes.txt\n")
    git(repository, "init", "-q", "-b", "main")
    given = _given(made, bystander)
    for commit in ("none", "base"):
        given["base_tree"] = str(repository / ".circle" / "trees" / commit)
        (repository / "host.json").write_text(json.dumps(given))
        git(repository, "add", "-A")
        git(repository, "commit", "-qm", commit)
    made.base = git(repository, "rev-parse", "HEAD").strip()
    git(repository, "worktree", "add", "-q", "--force", str(made.root / "worktree" / "tree"))
    made.workspace.export(made.base)
    (repository / ".circle" / "trees" / "base").symlink_to(made.base)


def _given(made: Host, bystander: int) -> dict[str, Any]:
    """What an attack knows of the host: everything."""
    sockets = made.listeners
    sockets["port"] = socket.create_server(("127.0.0.1", 0))
    sockets["udp_port"] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sockets["udp_port"].bind(("127.0.0.1", 0))
    for name, kind in (("unix_socket", socket.SOCK_STREAM), ("unix_datagram", socket.SOCK_DGRAM)):
        sockets[name] = socket.socket(socket.AF_UNIX, kind)
        sockets[name].bind(str(made.root / name))
    sockets["abstract"] = socket.socket(socket.AF_UNIX)
    sockets["abstract"].bind(f"\0{made.root.name}")
    for listener in sockets.values():
        listener.setblocking(False)
        if listener.type == socket.SOCK_STREAM:
            listener.listen()
    with socket.create_server(("127.0.0.1", 0)) as free:
        made.free_port = free.getsockname()[1]
    return {
        "home": str(made.root / "home"),
        "repository": str(made.root / "repository"),
        "worktree": str(made.root / "worktree"),
        "journal": str(made.root / "repository/.circle/sessions/old/journal.sqlite"),
        "concealed": "concealed_corpus",
        "concealed_folder": str(made.root / "corpus" / "concealed_corpus"),
        "packages": str(Path(json.__file__).parent),
        "mark": made.root.name,
        "laboratory": os.getpid(),
        "bystander": bystander,
        "abstract": made.root.name,
        "unix_socket": str(made.root / "unix_socket"),
        "unix_datagram": str(made.root / "unix_datagram"),
        "port": sockets["port"].getsockname()[1],
        "udp_port": sockets["udp_port"].getsockname()[1],
        "free_port": made.free_port,
        "filters_calls": False,
    }


@dataclass
class Range:
    """The laboratory of one backend on a host."""

    host: Host
    sandbox: Sandbox

    def __post_init__(self) -> None:
        home = self.host.root / "repository" / ".circle"
        folder = home / "lab" / self.sandbox.name
        (folder / "runs").mkdir(parents=True)
        self._laboratory = LocalLaboratory(
            target=load_target(self.host.root / "repository"),
            base=self.host.base,
            preset="small",
            home=home,
            folder=folder,
            workspace=self.host.workspace,
            sandbox=self.sandbox,
            journal=Journal(folder / "journal.sqlite"),
            workers=1,
        )
        self._laboratory.baseline_key(self.host.base, "small", 100)

    def _timed(self, attack: Attack) -> Target:
        """Give the target a timeout: short for an attack on time, long for others, however busy this machine is."""
        target = load_target(self.host.root / "repository")
        seconds = _SHORT_SECONDS if "took longer" in attack.ends else _LONG_SECONDS
        return target.model_copy(update={"train": target.train.model_copy(update={"timeout_minutes": seconds / 60})})

    def run(self, attack: Attack) -> Outcome:
        """Commit the attack, train it, and look at the host."""
        commit = self.host.workspace.commit_documents(
            f"attack/{attack.name}", self.host.base, {"train.py": attack.file.read_text()}, attack.name
        )
        self.host.workspace.export(commit)
        before = self.host.state()
        self._laboratory.target = self._timed(attack)
        order = Order(arm="experiment", stage="confirm", seed=1, commit=commit, train_tokens=100, splits=("hidden",))
        run = self._laboratory.run([order])[0]
        after = self.host.state()
        damage = [f"{name} changed" for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
        damage += self.host.arrived() + survivors(commit) + left_over(self.host)
        log = (self._laboratory.folder / "runs" / f"{order.key}.log").read_text(errors="replace")
        return Outcome(run, log, damage)


def attacks(*categories: str) -> list[Attack]:
    """Return the attacks of these categories, by name."""
    return [Attack(file) for category in categories for file in sorted((HERE / category).glob("*.py"))]


def survivors(commit: str) -> list[str]:
    """Return the processes of a run that outlive it by seconds: they carry its commit in their environment."""
    end = time.monotonic() + _DYING_SECONDS
    while (found := _alive(commit)) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def _alive(commit: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"CIRCLE_COMMIT={commit}".encode() in (folder / "environ").read_bytes():
                found.append(f"process {folder.name} lives on")
    return found


def left_over(made: Host) -> list[str]:
    """Return the files that a run left where all programs look."""
    names = (f"{place}/circle-attack-{made.root.name}" for place in ("/tmp", "/dev/shm", "/var/tmp", "/dev/mqueue"))
    return [f"{name} was left" for name in names if Path(name).exists()]


def _state(path: Path) -> str:
    status = path.lstat()
    content = ""
    if path.is_symlink():
        content = str(path.readlink())
    elif path.is_file():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    # A folder's time changes with the laboratory's own work in it; its files are all listed.
    moment = status.st_mtime_ns if path.is_file() else 0
    return f"{status.st_mode:o} {status.st_uid} {status.st_nlink if path.is_file() else 0} {moment} {content}"


def python_state() -> list[tuple[str, int]]:
    """What lies in this installation's packages, by name and time: code that is planted there runs everywhere."""
    folders = {Path(sys.prefix), Path(sys.base_prefix)}
    places = [place for folder in folders for place in folder.glob("lib/python3*/site-packages")]
    files = [file for place in places for file in place.iterdir()]
    return sorted((str(file), file.lstat().st_mtime_ns) for file in [*files, Path(sys.executable).resolve()])
