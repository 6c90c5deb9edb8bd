"""A real Ray cluster of several nodes on this machine: runs as here, on like nodes only, and none lost with a node."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.errors import Interrupted, LaboratoryError
from agents.family import Changes, fork, steps
from agents.journal import Journal
from agents.laboratory.local import LocalLaboratory
from agents.laboratory.sandbox import choose
from agents.measuring import open_laboratory
from agents.ports import Order, silent
from agents.records import Run
from agents.session import Home, load_committed_target
from agents.workspace import GitWorkspace
from tests.commands import TARGETS, circle, diff_of, git, session_id
from tests.laboratory.test_local import telling, with_data

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'")
from ray._raylet import Config  # noqa: E402  (where Ray is installed)
from ray.cluster_utils import Cluster as Nodes  # noqa: E402  (where Ray is installed)

from agents.laboratory import errand  # noqa: E402
from agents.laboratory.cluster import Cluster, join  # noqa: E402
from agents.laboratory.errand import Look  # noqa: E402
from agents.laboratory.ray import RayLaboratory  # noqa: E402

_TIMES = {"seconds_per_step", "train_seconds", "cpu_seconds", "peak_memory_bytes", "folder", "command", "loss_steps"}
JUDGE = ("judge", "--flags", "--intercept true", "--secret", "5eed", "--fresh-baseline", "--json")
_BY_THE_CLOCK = ("timing", "stretched")
_TOKEN = "0" * 64
_STORE_BYTES = 80_000_000
_QUICKLY = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
# A run that is not in a sandbox says that it has begun, and goes on once nobody holds the gate.
_GATE = """    configs = parse()
    try:
        with open({begun!r}, "w") as begun:
            begun.write(f"{{Path(configs.output_dir).name}} {{os.getpid()}} {{os.getppid()}}\\n")
        with open({gate!r}) as gate:
            fcntl.flock(gate, fcntl.LOCK_SH)
    except OSError:
        pass
"""


class World:
    """A cluster, a gated target, and who of its runs has begun."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.gate = folder, folder / "gate"
        self.gate.touch()
        os.mkfifo(folder / "begun")
        self._begun = os.fdopen(os.open(folder / "begun", os.O_RDWR), "rb", buffering=0)
        self.origin = folder / "origin"
        shutil.copytree(TARGETS / "plain", self.origin)
        train = self.origin / "train.py"
        text = train.read_text().replace("import argparse\n", "import argparse\nimport fcntl\nimport os\n")
        gate = _GATE.format(begun=str(folder / "begun"), gate=str(self.gate))
        text = text.replace("    configs = parse()\n", gate)
        train.write_text(text.replace("if step % 10 == 0", "if step == steps"))  # one line: no step's time is measured
        git(self.origin, "init", "-q", "-b", "main")
        git(self.origin, "add", "-A")
        git(self.origin, "commit", "-qm", "The training code")
        self.nodes = Nodes(
            initialize_head=True,
            head_node_args={
                "num_cpus": 1,
                "object_store_memory": _STORE_BYTES,
                "include_dashboard": False,
                "_system_config": _QUICKLY,
            },
        )

    @property
    def lab(self) -> str:
        """The laboratory's name."""
        return f"ray:{self.nodes.address}"

    def target(self, name: str) -> Path:
        """A clone of the target in a folder of its own."""
        self.begun_since()
        shutil.copytree(self.origin, self.folder / name)
        return self.folder / name

    @contextmanager
    def another_node(self, cpus: int = 1) -> Iterator[Any]:
        """Give a second node, which may be killed meanwhile."""
        node = self.nodes.add_node(num_cpus=cpus, object_store_memory=_STORE_BYTES)
        try:
            yield node
        finally:
            if node in self.nodes.worker_nodes:
                self.nodes.remove_node(node)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no run go on that is not in a sandbox."""
        with self.gate.open() as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield

    def begun(self, seconds: float = 60.0) -> tuple[str, int, int]:
        """Wait for the next run that begins; return its key, its process and the one that watches it."""
        assert select.select([self._begun], [], [], seconds)[0], "no run has begun"
        key, pid, parent = self._begun.readline().decode().split()
        return key, int(pid), int(parent)

    def begun_since(self) -> list[str]:
        """The keys of the runs that have begun and that nobody waited for."""
        keys = []
        while select.select([self._begun], [], [], 0)[0]:
            keys.append(self.begun()[0])
        return keys

    def close(self) -> None:
        self._begun.close()
        self.nodes.shutdown()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.close()


@pytest.fixture
def joined(world: World) -> Iterator[Cluster]:
    """The cluster, joined by this process."""
    with joined_to(world) as cluster:
        yield cluster


Open = Callable[..., LocalLaboratory]


@pytest.fixture
def laboratory(tmp_path: Path) -> Iterator[Open]:
    """Open a laboratory on a target: this machine, or a cluster; `folder` is where its session lies."""
    opened: list[LocalLaboratory] = []

    def open_(root: Path, cluster: Cluster | None = None, name: str = "", **options: Any) -> LocalLaboratory:
        workspace, home = GitWorkspace(root), root / ".circle"
        folder = home / "sessions" / (name or str(len(opened)))
        folder.mkdir(parents=True, exist_ok=True)
        parts: dict[str, Any] = {
            "target": load_committed_target(workspace, workspace.head()),
            "base": workspace.head(),
            "preset": "small",
            "home": home,
            "folder": folder,
            "workspace": workspace,
            "sandbox": choose(unprotected=options.pop("unprotected", False)),
            "journal": Journal(folder / "journal.sqlite"),
            "workers": 2,
        }
        parts |= options
        opened.append(LocalLaboratory(**parts) if cluster is None else RayLaboratory(cluster=cluster, **parts))
        return opened[-1]

    yield open_
    for made in opened:
        made.close()
        made.journal.close()


def version(root: Path, code: str) -> str:
    """Commit a version of the target whose model runs `code` when it is imported, and return its SHA."""
    workspace = GitWorkspace(root)
    diff = diff_of(root, "model.py", ("def train_step(", f"{code}\n\ndef train_step("))
    return workspace.commit_version("circle/s/v1", workspace.head(), diff, "A version").commit


def order(commit: str, seed: int = 1, **options: Any) -> Order:
    return Order("experiment", "screen", seed, commit, 1_600, **options)


def but_for_times(run: Run | dict[str, Any]) -> dict[str, Any]:
    """What of a run is the same wherever it was trained."""
    body = run.model_dump(mode="json") if isinstance(run, Run) else run
    return {name: value for name, value in body.items() if name not in _TIMES}


def judge(root: Path, lab: str, *options: str) -> subprocess.Popen[str]:
    """Start `circle judge` on the flag that wins."""
    command = [sys.executable, "-m", "agents.cli", *JUDGE, "--lab", lab, *options]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Judged:
    """How a session ended: its exit code, what was printed, and its runs, each as often as it is on record."""

    def __init__(self, root: Path, session: subprocess.Popen[str]) -> None:
        out, self.errors = session.communicate(timeout=300)
        self.code, self.name = session.returncode, session_id(self.errors)
        self.verdict = json.loads(out)["verdict"] if out else None
        self.runs = recorded(root, self.name)

    @property
    def outcome(self) -> Any:
        """What it may not depend on where its runs were trained, and what befell them."""
        decided = {name: self.verdict[name] for name in ("outcome", "cause")} if self.verdict else None
        return self.code, decided, self.runs


def recorded(root: Path, name: str) -> dict[str, dict[str, Any]]:
    """The runs on a session's record, but for those of which there are as many as the clock asks for."""
    journal = Journal(root / ".circle" / "sessions" / name / "journal.sqlite")
    journal.check()
    bodies = journal.bodies("run")
    journal.close()
    return {key: but_for_times(body) for key, body in bodies.items() if body["stage"] not in _BY_THE_CLOCK}


@pytest.fixture(scope="module")
def undisturbed(world: World) -> Judged:
    """The session on this machine alone."""
    root = world.target("undisturbed")
    judged = Judged(root, judge(root, "local"))
    assert judged.code == 0 and judged.verdict["outcome"] == "win", judged.errors
    return judged


def has_died(pid: int) -> bool:
    """Wait until a process has ended, for ten seconds."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10)[0])
    finally:
        os.close(handle)


def parent_of(pid: int) -> int:
    """The process that started this one."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_run_on_a_node_is_the_run_that_it_would_be_here(world: World, joined: Cluster, laboratory: Open) -> None:
    """The same bits, files, log and words; what is outside of its sandbox is out of its reach there, too."""
    root = world.target("one")
    secret = world.folder / "secret"
    secret.write_text("swordfish")
    reads = f"open({str(secret)!r}).close()"
    writes = f"try:\n    open({str(secret)!r}, 'w').close()\nexcept OSError:\n    pass"
    linked = "import os, sys\nos.symlink('/etc/passwd', sys.argv[sys.argv.index('--output_dir') + 1] + '/link')"
    commits = [GitWorkspace(root).head(), *(version(root, code) for code in (reads, writes, linked))]
    orders = [order(commit, splits=("visible",), keep_weights=True) for commit in commits]
    here, there = laboratory(root), laboratory(root, joined)
    for one, other in zip(here.run(orders), there.run(orders), strict=True):
        assert but_for_times(one) == but_for_times(other)
    assert [run.status for run in there.run(orders)] == ["done", "crashed", "done", "refused"]
    crashed = there.run(orders)[1]
    assert "<node>/tree/model.py" in there.excerpt(crashed) and f"{secret}" in (crashed.error or "")
    assert secret.read_text() == "swordfish"
    assert here.baseline_key(here.base, "small", 1_600) == there.baseline_key(here.base, "small", 1_600)
    files = [lab.folder / "runs" / orders[0].key / "weights.json" for lab in (here, there)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert sorted(path.name for path in (there.folder / "runs").iterdir() if path.name.startswith(".")) == []


def test_a_run_on_a_node_is_served_its_own_tokens(plain: Path, joined: Cluster, laboratory: Open) -> None:
    """And no others: neither the whole split nor the hidden one nor the raw corpus is on the node for it."""
    root = with_data(plain)
    look = "[(data / 'open' / 'train.txt').read_text().split(), sorted(os.listdir(data.parent)), os.listdir(data)]"
    orders = [order(version(root, telling(look)), seed) for seed in (1, 2)]
    here, there = laboratory(root), laboratory(root, joined)
    for one, other, seed in zip(here.run(orders), there.run(orders), (1, 2), strict=True):
        assert but_for_times(one) == but_for_times(other) and other.tokens_served == 1_600
        tokens, beside, parts = json.loads((there.folder / "runs" / other.key / "seen.json").read_text())
        assert tokens == [str(number) for number in range(seed, seed + 1_600)]
        assert beside == ["data", "left", "tree"] and parts == ["open"]


def test_what_git_does_not_know_is_read_on_nodes_of_this_machine_alone(
    plain: Path, joined: Cluster, laboratory: Open
) -> None:
    """The target's own data and Python: a run has them there as here, and a node of another machine is told apart."""
    (plain / "own").mkdir()
    (plain / "own" / "numbers").write_text("1 2 3")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", plain / ".venv"], check=True)
    (plain / ".gitignore").write_text(".venv/\nown/\n")
    toml = (
        (plain / "circle.toml")
        .read_text()
        .replace("timeout_minutes", 'python = ".venv/bin/python"\ntimeout_minutes', 1)
    )
    (plain / "circle.toml").write_text(toml + '\n[data]\nfolders = ["own"]\n')
    git(plain, "add", "-A")
    git(plain, "commit", "-qm", "Data and a Python of its own")
    tells = "import sys\nopen(sys.argv[sys.argv.index('--output_dir') + 1] + '/seen', 'w').write(SEEN)"
    asked = order(version(plain, tells.replace("SEEN", "open('own/numbers').read() + ' ' + sys.prefix")))
    here, there = laboratory(plain), laboratory(plain, joined)
    (one,), (other,) = here.run([asked]), there.run([asked])
    assert but_for_times(one) == but_for_times(other) and one.status == "done"
    seen = (there.folder / "runs" / other.key / "seen").read_text()
    assert seen == f"1 2 3 {plain / '.venv'}"
    elsewhere = Cluster(lambda threads, unprotected: replace(errand.look(threads, unprotected), files="elsewhere"))
    with pytest.raises(LaboratoryError, match=r"not this machine, which alone has \.venv/bin/python"):
        laboratory(plain, elsewhere)


@pytest.mark.long
def test_a_session_on_a_cluster_is_the_session_that_it_would_be_here(world: World, undisturbed: Judged) -> None:
    """The same seeds, metrics, weights and verdict."""
    root = world.target("session")
    with world.another_node():
        judged = Judged(root, judge(root, world.lab))
    assert judged.outcome == undisturbed.outcome, judged.errors
    opened = Home(root).find(judged.name)
    made = fork(opened, steps(opened)[0].number, Changes())
    assert opened.session.lab == made.session.lab == world.lab
    with opened.journal() as old, made.journal() as new:
        assert old.find("nodes", "") == new.find("nodes", "") is not None


@pytest.mark.long
@pytest.mark.parametrize("lost", ["node", "worker"])
def test_what_a_node_or_a_worker_had_in_hand_is_trained_again(world: World, undisturbed: Judged, lost: str) -> None:
    """Elsewhere, or there anew: that run alone, and it counts once. Whoever watches a run takes it with him."""
    root = world.target(f"{lost}-lost")
    with world.another_node() as node:
        with world.held():
            session = judge(root, world.lab, "--no-sandbox")
            runs = [world.begun(), world.begun()]
            raylet = node.all_processes["raylet"][0].process.pid
            ((key, pid, worker),) = [run for run in runs if parent_of(run[2]) == raylet]
            if lost == "node":
                world.nodes.remove_node(node, allow_graceful=False)
            else:
                os.kill(worker, signal.SIGKILL)
            assert has_died(pid)
        judged = Judged(root, session)
    assert judged.outcome == undisturbed.outcome, judged.errors
    begun = Counter([*(run[0] for run in runs), *world.begun_since()])
    assert begun.pop(key) == 2 and set(begun.values()) == {1}
    assert {key, *begun} >= judged.runs.keys()


@pytest.mark.long
def test_a_killed_session_goes_on_where_it_was(world: World, undisturbed: Judged) -> None:
    """On the same kind of nodes; nothing that is on record is trained again."""
    root = world.target("killed")
    with world.another_node():
        killed = circle(root, *JUDGE, "--lab", world.lab, "--no-sandbox", CIRCLE_CRASH_AT="run recorded #9")
        assert killed.returncode == -signal.SIGKILL
        name = session_id(killed.stderr)
        assert len(recorded(root, name)) == 9
        ended = circle(root, "resume", name, "--json")
    document = json.loads(ended.stdout)
    assert (ended.returncode, document["status"]) == (0, "victory"), ended.stderr
    assert recorded(root, name) == undisturbed.runs


@pytest.mark.long
def test_an_interrupted_session_leaves_no_run(world: World) -> None:
    """Ctrl-C ends what is being trained on the nodes, within seconds; the session is resumable."""
    root = world.target("interrupted")
    with world.another_node(), world.held():
        session = judge(root, world.lab, "--no-sandbox")
        runs = [world.begun(), world.begun()]
        session.send_signal(signal.SIGINT)
        judged = Judged(root, session)
        assert (judged.code, judged.runs) == (Interrupted.exit_code, {}), judged.errors
        assert all(has_died(pid) for _, pid, _ in runs)


def looks(kinds: dict[str, str], folder: Path) -> Callable[[int, bool], Look]:
    """What nodes are asked where some are to be of another kind: their runs then lie in a folder of the kind's name."""

    def look(threads: int, unprotected: bool) -> Look:
        about, kind = errand.look(threads, unprotected), kinds[ray.get_runtime_context().get_node_id()]
        place = folder / kind
        place.mkdir(exist_ok=True)
        return replace(about, fingerprint=about.fingerprint | {"processor": kind}, scratch=place)

    return look


@pytest.mark.long
def test_unlike_nodes_are_not_mixed(world: World, laboratory: Open, tmp_path: Path) -> None:
    """The kind with the most CPUs is taken, named, kept by a resumed session, and missed where it is gone."""
    root, said = world.target("kinds"), list[str]()
    tells = "import os, sys\nopen(sys.argv[sys.argv.index('--output_dir') + 1] + '/where', 'w').write(os.getcwd())"
    orders = [order(version(root, tells), seed) for seed in range(1, 7)]

    def hear(event: str, **about: Any) -> None:
        if event == "cluster":
            said.append(about["text"])

    with world.another_node() as one, world.another_node() as two, joined_to(world) as cluster:
        kinds = dict.fromkeys((node["NodeID"] for node in ray.nodes()), "slow")
        kinds |= {one.node_id: "fast", two.node_id: "fast"}
        unlike = Cluster(looks(kinds, tmp_path))
        lab = laboratory(root, unlike, "session", report=hear)
        runs = lab.run(orders)
        where = {Path((lab.folder / "runs" / run.key / "where").read_text()).parents[1].name for run in runs}
        assert [run.status for run in runs] == ["done"] * 6 and where == {"fast"}
        assert len(said) == 1 and said[0].startswith("trains on 2 like nodes") and "unlike them" in said[0]
        assert lab.baseline_key(lab.base, "small", 1_600) != laboratory(root, cluster).baseline_key(
            lab.base, "small", 1_600
        )
        more = Cluster(looks(dict.fromkeys(kinds, "slow") | {one.node_id: "fast"}, tmp_path))
        again = laboratory(root, more, "session")
        (run,) = again.run([order(orders[0].commit, 7)])
        assert Path((again.folder / "runs" / run.key / "where").read_text()).parents[1].name == "fast"
        with pytest.raises(LaboratoryError, match="nodes that this session trains on are gone"):
            laboratory(root, Cluster(looks(dict.fromkeys(kinds, "slow"), tmp_path)), "session")


@contextmanager
def joined_to(world: World) -> Iterator[Cluster]:
    """Join the cluster meanwhile."""
    try:
        yield join(world.nodes.address)
    finally:
        ray.shutdown()


@pytest.mark.long
def test_a_session_without_a_node_is_told_and_resumable(world: World, laboratory: Open, tmp_path: Path) -> None:
    """Its only like node is killed while it trains."""
    root = world.target("alone")
    with joined_to(world), world.another_node(cpus=2) as node:
        kinds = dict.fromkeys((about["NodeID"] for about in ray.nodes()), "slow") | {node.node_id: "fast"}
        cluster = Cluster(looks(kinds, tmp_path))
        lab = laboratory(root, cluster, "session", unprotected=True)
        with world.held(), ThreadPoolExecutor(1) as pool:
            going = pool.submit(lab.run, [order(lab.base)])
            world.begun()
            world.nodes.remove_node(node, allow_graceful=False)
            with pytest.raises(LaboratoryError, match="No node is left of those that this session trains on"):
                going.result(timeout=120)
        assert lab.journal.count("run") == 0
        with pytest.raises(LaboratoryError, match="nodes that this session trains on are gone"):
            laboratory(root, cluster, "session", unprotected=True)


def test_a_cluster_that_wants_no_tokens_is_told_to_who_has_some(world: World) -> None:
    """Its nodes could be asked, and what they say of a run would never arrive."""
    root = world.target("tokens")
    done = circle(root, *JUDGE, "--lab", world.lab, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=_TOKEN)
    assert done.returncode == 1 and "set RAY_AUTH_MODE=disabled for circle" in done.stderr, done.stderr


@pytest.mark.long
def test_a_run_whose_words_are_lost_is_not_waited_for(
    world: World, laboratory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has ended, and nothing of it has come: after a few tries a sentence says so."""
    root = world.target("unheard")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", _TOKEN)
    with _as_the_environment_says(), joined_to(world):
        deaf = Cluster(lambda threads, unprotected: replace(errand.look(threads, unprotected), authentication="token"))
        lab = laboratory(root, deaf)
        with pytest.raises(LaboratoryError, match="was lost 4 times"):
            lab.run([order(lab.base)])
        assert lab.journal.count("run") == 0


@contextmanager
def _as_the_environment_says() -> Iterator[None]:
    """Let this process's Ray read how it is to authenticate itself meanwhile; afterwards it does not."""
    Config.initialize("")
    try:
        yield
    finally:
        os.environ["RAY_AUTH_MODE"] = "disabled"
        Config.initialize("")


def test_a_laboratory_that_there_is_not_is_told_at_once(plain: Path) -> None:
    """Another name is wrong usage, an address where nobody answers an error; neither leaves a session."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = f"127.0.0.1:{server.getsockname()[1]}"
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = f"127.0.0.1:{server.getsockname()[1]}"
        for lab, code, words in (
            ("slurm", 2, "There is no laboratory 'slurm'"),
            ("ray:", 2, "There is no laboratory 'ray:'"),
            (f"ray:{gone}", 1, f"Nobody answers at {gone}"),
            (f"ray:{silent}", 1, f"Nobody answers at {silent} (timed out)"),
        ):
            began = time.monotonic()
            done = circle(plain, *JUDGE, "--lab", lab)
            assert (done.returncode, done.stderr.count("\n")) == (code, 1) and words in done.stderr, done.stderr
            assert time.monotonic() - began < 15
    assert not list(plain.glob(".circle/sessions/*"))


@pytest.mark.long
def test_branches_with_a_cluster_each_take_turns(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are on this machine, and none knows what the others' runs use; a cluster that they share does."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    home = Home(world.target("turns"))
    home.prepare()
    base, turn = home.workspace.head(), tmp_path / "turn"
    target = load_committed_target(home.workspace, base)
    for lab, expected in ((world.lab, None), ("ray", turn)):
        journal = Journal(tmp_path / f"{len(lab)}.sqlite")
        try:
            made = open_laboratory(home, target, base, "small", tmp_path, journal, False, 1, silent, lab, turn)
            assert isinstance(made, RayLaboratory) and made.turn == expected
            made.close()
        finally:
            journal.close()
            ray.shutdown()


def test_without_ray_a_sentence_says_what_to_install(plain: Path) -> None:
    program = f"import sys; sys.modules['ray'] = None; sys.argv = {['circle', *JUDGE, '--lab', 'ray']!r}"
    command = [sys.executable, "-c", f"{program}\nfrom agents.cli import main\nmain()"]
    done = subprocess.run(command, cwd=plain, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "pip install 'circle-research[ray]'" in done.stderr, done.stderr
