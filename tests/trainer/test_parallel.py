"""Several processes as one: what is shared, that the result is that of one process, and how a run fails."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.conftest import ROOT, result_of
from trainer.config import PRESETS, Configs
from trainer.errors import ConfigError
from trainer.loop import train
from trainer.parallel import ALONE, World, join
from trainer.state import load_state

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(ROOT / "train_llm.py")]
WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": ""}
# Three blocks: two ranks cannot share three matrices of a shape equally.
SHAPE = {"n_layers": 3, "train_tokens": 8 * 512, "eval_every": 4, "dtype": "float32"}


def member(rank: int, size: int) -> World:
    """One of several processes, as far as shares go."""
    world = World()
    world.rank, world.size = rank, size
    return world


@contextmanager
def torchrun(
    data: Path, output: Path, environment: Mapping[str, str] = WITHOUT_GPU, **settings: Any
) -> Iterator[subprocess.Popen[str]]:
    """Two ranks that train with SHAPE; both streams in one."""
    flags = {**SHAPE, "data_dir": data, "output_dir": output, "log_every": 1, **settings}
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    with subprocess.Popen(
        [*TORCHRUN, "--preset", "smoke", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield process


def pids_of(process: subprocess.Popen[str]) -> list[int]:
    """The ranks that torchrun started, in order."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ranks = {}
    for child in map(int, children):
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        ranks[next(int(word[5:]) for word in environment if word.startswith(b"RANK="))] = child
    return [ranks[rank] for rank in sorted(ranks)]


def test_two_processes_end_as_one_does_though_one_of_them_was_killed(smoke_data: Path, tmp_path: Path) -> None:
    """Rank 1 is killed: torchrun ends rank 0; resumed, the losses are one process's up to the order of sums."""
    with torchrun(smoke_data, tmp_path / "two", save_every=3) as killed:
        assert killed.stdout is not None
        next(line for line in killed.stdout if line.startswith("step 5/"))
        ranks = pids_of(killed)
        os.kill(ranks[1], signal.SIGKILL)
        killed.communicate()
    assert killed.returncode == 1
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks)
    state = load_state(tmp_path / "two")
    assert state is not None
    assert (state.step, state.processes, len(state.random)) == (3, 2, 2)
    with torchrun(smoke_data, tmp_path / "two", save_every=3, resume=True) as resumed:
        lines = resumed.communicate()[0].splitlines()
    assert resumed.returncode == 0, "\n".join(lines)
    steps = [match[1] for line in lines if (match := re.match(r"step (\d+)/8 loss", line))]
    assert steps == ["4", "5", "6", "7", "8"]
    alone = replace(PRESETS["smoke"], data_dir=str(smoke_data), output_dir=str(tmp_path / "one"), **SHAPE)
    train(alone)
    one, two = result_of(tmp_path / "one"), result_of(tmp_path / "two")
    assert (one.metrics["processes"], two.metrics["processes"]) == (1, 2)
    assert two.metrics["tokens_seen"] == one.metrics["tokens_seen"]
    assert two.losses[0] == pytest.approx(one.losses[0], abs=1e-6)
    assert two.losses == pytest.approx(one.losses, abs=2e-4)
    assert two.metrics["final_metrics"]["train_loss"] == pytest.approx(
        one.metrics["final_metrics"]["train_loss"], abs=2e-4
    )
    for kind in ("gradient_norms", "update_norms"):
        whole, shared = one.metrics["diagnosis"][kind], two.metrics["diagnosis"][kind]
        assert shared == {group: pytest.approx(norms, rel=0.02) for group, norms in whole.items()}
    assert {path.name for path in (tmp_path / "two").rglob("*") if "state" in path.name} == set()


def test_a_rank_that_fails_ends_the_other_and_tells_why_once(smoke_data: Path, tmp_path: Path) -> None:
    """Rank 0 finds that it cannot save, while rank 1 goes on to the next update."""
    (tmp_path / "checkpoints").write_text("in the way")
    with torchrun(smoke_data, tmp_path, save_every=2) as failing:
        output = failing.communicate()[0]
    assert failing.returncode == 1
    sentence = f"{tmp_path / 'checkpoints'} cannot be written (File exists); give another --output_dir."
    assert output.splitlines().count(sentence) == 1
    assert 'train_llm.py", line' not in output, "a traceback of a rank"
    assert not list(tmp_path.glob("plots/*"))


def test_help_is_no_run() -> None:
    """Each process prints it and leaves; none waits for another."""
    done = subprocess.run([*TORCHRUN, "--help"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0
    assert done.stdout.count("usage: train_llm.py") == 2


@pytest.mark.long
def test_two_processes_resume_to_the_last_bit(smoke_data: Path, tmp_path: Path) -> None:
    """As one process does; and Muon's averages come from the ranks that keep them."""
    with torchrun(smoke_data, tmp_path / "whole") as whole:
        whole.communicate()
    with torchrun(smoke_data, tmp_path / "cut", save_every=3) as killed:
        assert killed.stdout is not None
        next(line for line in killed.stdout if line.startswith("step 7/"))
        os.kill(pids_of(killed)[0], signal.SIGKILL)
        killed.communicate()
    with torchrun(smoke_data, tmp_path / "cut", resume=True) as resumed:
        resumed.communicate()
    expected, found = result_of(tmp_path / "whole"), result_of(tmp_path / "cut")
    assert found.losses == expected.losses
    assert found.weights_sha256 == expected.weights_sha256


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_end_as_one_does(smoke_data: Path, tmp_path: Path) -> None:
    """The same over nccl."""
    with torchrun(smoke_data, tmp_path / "two", {}) as both:
        output = both.communicate()[0]
    assert both.returncode == 0, output
    train(replace(PRESETS["smoke"], data_dir=str(smoke_data), output_dir=str(tmp_path / "one"), **SHAPE))
    one, two = result_of(tmp_path / "one"), result_of(tmp_path / "two")
    assert (two.metrics["processes"], two.metrics["device"]) == (2, one.metrics["device"])
    assert two.losses == pytest.approx(one.losses, abs=1e-3)


@pytest.mark.long
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"batch_size": 7}, "--batch_size 7 cannot be divided among 2 processes; give a multiple of 2."),
        ({"muon_lr": "nan"}, "--muon_lr nan is not a finite number; give one."),
        (
            {"muon_lr": 1e38, "adamw_lr": 1e38, "embedding_lr": 1e38},
            "The training loss is not finite at step 2; lower the learning rates.",
        ),
    ],
)
def test_what_all_ranks_find_is_told_once(
    settings: dict[str, Any], sentence: str, smoke_data: Path, tmp_path: Path
) -> None:
    """Before the run begins, and in its midst."""
    with torchrun(smoke_data, tmp_path, **settings) as failing:
        output = failing.communicate()[0]
    assert failing.returncode == 1
    assert output.splitlines().count(sentence) == 1
    assert 'train_llm.py", line' not in output


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("count", [1, 2, 5, 6, 22])
def test_shares_cover_everything(size: int, count: int) -> None:
    """They are equally large, and cut to the number of items their sequence is that of the items."""
    shares = [member(rank, size).share(range(count)) for rank in range(size)]
    assert len({len(share) for share in shares}) == 1
    assert [item for share in shares for item in share][:count] == list(range(count))
    assert all(len(set(share)) == len(share) for share in shares)


def test_rows_are_those_of_the_whole_batch() -> None:
    """In their order, inputs and targets alike."""
    inputs, targets = torch.arange(12).view(6, 2), torch.arange(12).view(6, 2) + 1
    parts = [member(rank, 3).rows((inputs, targets)) for rank in range(3)]
    assert torch.equal(torch.cat([part[0] for part in parts]), inputs)
    assert torch.equal(torch.cat([part[1] for part in parts]), targets)


def test_a_batch_that_cannot_be_divided_is_refused(tiny: Configs, tmp_path: Path) -> None:
    """In one sentence."""
    with pytest.raises(ConfigError) as error:
        train(replace(tiny, batch_size=4, output_dir=str(tmp_path)), member(0, 3))
    assert str(error.value) == "--batch_size 4 cannot be divided among 3 processes; give a multiple of 3."


def test_without_torchrun_nothing_is_started(train_tiny: Callable[..., Any]) -> None:
    """One process is alone, before a run and after it."""
    assert join() is ALONE
    assert train_tiny().metrics["processes"] == 1
    assert not torch.distributed.is_initialized()
