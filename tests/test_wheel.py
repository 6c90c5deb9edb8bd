"""The wheel, installed where there is no checkout: skills, prompts, and a session on another repo."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.commands import ROOT, analysis, change, plan, review


def test_a_wheel_in_a_clean_environment(tmp_path: Path, plain: Path, script: Callable[..., str]) -> None:
    """The libraries are this environment's, the code is the wheel's."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.startswith(("trainer", "optimizers", "tests"))]
    venv.create(tmp_path / "clean", with_pip=True)
    python = tmp_path / "clean" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    environment = os.environ | {"PYTHONPATH": sysconfig.get_paths()["purelib"]}

    def circle(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(python), "-m", "agents.cli", *arguments]
        return subprocess.run(command, cwd=plain, capture_output=True, text=True, env=environment, check=False)

    skills = circle("skills").stdout
    assert skills.count(str(tmp_path / "clean")) == 5 and skills.count("circle ") >= 5
    replies = script(plan("An intercept", ("intercept", False, True)), change(), review(), analysis())
    ended = circle("start", "--turbo", "--researcher", replies, "An intercept")
    assert ended.returncode == 0, ended.stderr
