"""A disk that is full: one sentence, nothing lost, and the same end once there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import ROOT, TARGETS, analysis, change, git, plan, review
from tests.record_sessions import script

_SIZE = 600_000_000
_RIGHTS = ["unshare", "--user", "--map-root-user", "--mount"]
PROGRAM = """
set -e
mount -t tmpfs -o size={size} tmpfs {disk}
cp -r {target} {disk}/plain
cd {disk}/plain
circle() {{ {python} -m agents.cli "$@"; }}
circle start --turbo --no-sandbox --researcher {researcher} --secret 5eed Rate 2> first.log &
while ! grep -q "screen experiment" first.log; do kill -0 $!; done
dd if=/dev/zero of=full bs=1M 2> /dev/null || truncate -s -{left} full
code=0; wait $! || code=$?
echo "full: $code $(tail -1 first.log)"
rm full
id=$(grep -m1 -o "^session .*" first.log | cut -d" " -f2)
circle resume $id > second.log 2>&1 && echo "resumed: $?" || tail -3 second.log
circle replay $id > replay.log 2>&1 && echo "replayed: $?"
"""


def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = [*_RIGHTS, "sh", "-c", "mount -t tmpfs tmpfs /tmp"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _can_mount(), reason="no right to mount a small disk here (unshare --user --mount)")
@pytest.mark.parametrize("left", [0, pytest.param(20_000, marks=pytest.mark.long)])
def test_a_full_disk_is_told_and_the_session_goes_on(plain: Path, tmp_path: Path, left: int) -> None:
    """Without a byte, and with room for an entry but not for a step."""
    better = plan("An intercept", ("intercept", False, True))
    researcher = script(plain, better, change(), review(), analysis())
    (tmp_path / "disk").mkdir()
    words = {"size": _SIZE, "disk": tmp_path / "disk", "target": plain, "python": sys.executable, "left": left}
    program = PROGRAM.format(**words, researcher=researcher)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*_RIGHTS, "bash", "-c", program], capture_output=True, text=True, env=environment, check=False
    )
    full, *rest = done.stdout.splitlines()
    assert full.startswith("full: 1 "), done.stdout + done.stderr
    assert "circle resume" in full or "disk" in full, full
    assert rest == ["resumed: 0", "replayed: 0"], done.stdout + done.stderr
    assert TARGETS.exists() and git(plain, "status", "--porcelain") == ""
