"""Interrupted runs: what is saved, that a resumed run ends as an undisturbed one, and what is refused."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.conftest import ROOT, Result, result_of
from trainer.config import PRESETS, Configs
from trainer.errors import CheckpointError, ConfigError, DivergedError
from trainer.loop import Run, train
from trainer.state import DRAFT, NAME, load_state, save_state

STEPS = {"train_tokens": 6 * 128, "eval_every": 2, "save_every": 3}
TIMES = ("setup_time_seconds", "active_training_time_seconds", "total_wall_time_seconds")


class Interruption(Exception):
    """Stands for whatever ends a process."""


def interrupt(configs: Configs, step: int) -> None:
    """Trains in this process until a run has made `step` updates, and drops it there."""

    class Interrupted(Run):
        def update(self, number: int) -> float:
            if number > step:
                raise Interruption
            return super().update(number)

    Path(configs.output_dir).mkdir(parents=True, exist_ok=True)
    with pytest.raises(Interruption):
        Interrupted(configs).train()


def test_a_killed_run_goes_on_to_the_same_end(smoke_data: Path, tmp_path: Path) -> None:
    """SIGKILL after the second state: losses and weights are those of an undisturbed run, bit for bit."""

    def start(*flags: str) -> subprocess.Popen[str]:
        words = ["--preset", "smoke", "--data_dir", str(smoke_data), "--output_dir", str(tmp_path / "killed")]
        return subprocess.Popen(
            [sys.executable, str(ROOT / "train_llm.py"), *words, "--log_every", "1", *flags],
            stdout=subprocess.PIPE,
            text=True,
        )

    with start("--save_every", "7") as killed:
        assert killed.stdout is not None
        next(line for line in killed.stdout if line.startswith("step 16/"))
        killed.kill()
    assert killed.returncode == -signal.SIGKILL
    state = load_state(tmp_path / "killed")
    assert state is not None
    assert state.step % 7 == 0
    assert state.step >= 14
    with start("--resume") as resumed:
        lines = resumed.communicate()[0].splitlines()
    assert lines[0] == f"resumed after step {state.step}/40"
    assert lines[1].startswith(f"step {state.step + 1}/40 loss ")
    train(replace(PRESETS["smoke"], data_dir=str(smoke_data), output_dir=str(tmp_path / "undisturbed")))
    expected, found = result_of(tmp_path / "undisturbed"), result_of(tmp_path / "killed")
    assert found.weights_sha256 == expected.weights_sha256
    assert same_results(found, expected)
    assert {path.name for path in (found.folder / "checkpoints").iterdir()} == {"configs.json", "model.safetensors"}


def same_results(one: Result, other: Result) -> bool:
    """Whether two runs have the same numbers, in full, but for the times."""
    histories = [{**run.metrics["history"], "elapsed_times": None} for run in (one, other)]
    curves = [{**run.metrics["diagnosis"], "phase_seconds": None} for run in (one, other)]
    same_curves = curves[0] == curves[1] and histories[0] == histories[1]
    return same_curves and one.metrics["final_metrics"] == other.metrics["final_metrics"]


@pytest.mark.parametrize("step", [3, 4, 5])
def test_wherever_it_was_interrupted(step: int, tiny: Configs, tmp_path: Path, train_tiny: Callable[..., Any]) -> None:
    """The updates since the state are made again, and none is counted twice; the times of both parts add up."""
    configs = replace(tiny, output_dir=str(tmp_path), **STEPS)
    interrupt(configs, step)
    state = load_state(tmp_path)
    assert state is not None
    assert (state.step, len(state.step_seconds), state.history["steps"]) == (3, 3, [0, 2])
    train(replace(configs, resume=True, log_every=2, save_every=0))
    expected, found = train_tiny(**STEPS), result_of(tmp_path)
    assert found.weights_sha256 == expected.weights_sha256
    assert same_results(found, expected)
    times = found.metrics["history"]["elapsed_times"]
    assert times == sorted(times)
    setup, active, wall = (found.metrics[name] for name in TIMES)
    assert setup > state.setup_seconds
    assert active > sum(state.step_seconds)
    assert wall > state.wall_seconds
    assert setup + active < wall
    assert setup + 60 * times[-1] <= wall


def test_draws_of_the_model_go_on_too(tiny: Configs, tmp_path: Path) -> None:
    """Torch's own generator, which a dropout draws from, is part of the state."""
    configs = replace(tiny, output_dir=str(tmp_path), **STEPS)
    tmp_path.mkdir(exist_ok=True)
    first = Run(configs)
    torch.rand(10)
    first.save(3)
    expected = torch.rand(4)
    torch.rand(10)
    Run(replace(configs, resume=True))
    assert torch.equal(torch.rand(4), expected)


def test_there_is_a_whole_state_at_every_moment(tiny: Configs, tmp_path: Path) -> None:
    """A disk that fills up while the second state is written: the first is still whole."""
    configs = replace(tiny, output_dir=str(tmp_path), **STEPS)
    interrupt(configs, 3)
    size = (tmp_path / "checkpoints" / NAME).stat().st_size
    program = (
        "import resource, sys; sys.path.insert(0, sys.argv.pop(1));"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size - 1}, {size - 1}));"
        "import train_llm; sys.exit(train_llm.main(sys.argv[1:]))"
    )
    flags = {**vars(configs), "save_every": 1, "resume": True}
    words = [
        word
        for name, value in flags.items()
        if value is not None and name != "corpus"
        for word in (f"--{name}", str(value))
    ]
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path} cannot be written (File too large); give another --output_dir.\n"
    assert (tmp_path / "checkpoints" / DRAFT).exists()
    state = load_state(tmp_path)
    assert state is not None
    assert state.step == 3


def test_without_a_state_it_starts_from_the_beginning(
    tiny: Configs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says so: a job that may be interrupted at any time always has the same command."""
    train(replace(tiny, output_dir=str(tmp_path), resume=True))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"no training state in {tmp_path}: starting from the beginning"
    assert lines[1].startswith("eval 0/4 ")


def test_another_run_is_refused(tiny: Configs, tiny_corpus: Path, tmp_path: Path) -> None:
    """The sentence names every setting that differs, with the value that it had."""
    configs = replace(tiny, output_dir=str(tmp_path), **STEPS)
    interrupt(configs, 3)
    with pytest.raises(ConfigError) as error:
        train(replace(configs, resume=True, seed=5, muon_lr=0.5, threads=1, save_every=1))
    assert str(error.value) == (
        f"The interrupted run had --seed {tiny.seed}, --muon_lr {tiny.muon_lr}; "
        "give the same, or start anew without --resume."
    )
    longer = tmp_path / "longer.txt"
    longer.write_text(tiny_corpus.read_text() + "\n\nand one more document")
    with pytest.raises(ConfigError, match=r"^The interrupted run had other data; give the same"):
        train(replace(configs, resume=True, data_dir=None, corpus=str(longer)))


@pytest.mark.parametrize("part", ["model", "optimizers"])
def test_the_state_of_other_code_is_told_in_one_sentence(part: str, tiny: Configs, tmp_path: Path) -> None:
    """A parameter that the model, or a group that its optimizer, does not have."""
    configs = replace(tiny, output_dir=str(tmp_path), **STEPS)
    interrupt(configs, 3)
    state = load_state(tmp_path)
    assert state is not None
    other = {"model": {**state.model, "extra": torch.ones(1)}, "optimizers": state.optimizers[::-1]}
    save_state(tmp_path, replace(state, **{part: other[part]}))
    with pytest.raises(CheckpointError, match=r"is that of other code; start anew without --resume\.$"):
        train(replace(configs, resume=True))


def test_a_diverged_run_is_never_saved(tiny: Configs, tmp_path: Path) -> None:
    """The loss is read before a state takes the place of a good one."""
    rates = {"adamw_lr": 1e38, "embedding_lr": 1e38, "muon_lr": 1e38}
    with pytest.raises(DivergedError, match="training loss is not finite at step 3"):
        train(replace(tiny, output_dir=str(tmp_path), log_every=1000, **{**STEPS, "eval_every": 1000}, **rates))
    assert not list(tmp_path.iterdir())


class Code:
    """Runs a command when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def damage_bit(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [damage_bit, lambda content: content[:-100], lambda content: content[:1000], lambda _: b"", lambda _: b"\xff" * 99],
    ids=["one bit", "its end lost", "its start alone", "empty", "something else"],
)
def test_a_damaged_state_is_told_in_one_sentence(
    damage: Callable[[bytes], bytes], tiny: Configs, tmp_path: Path
) -> None:
    """Also a single bit of a weight."""
    configs = replace(tiny, output_dir=str(tmp_path), **STEPS)
    interrupt(configs, 3)
    file = tmp_path / "checkpoints" / NAME
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(CheckpointError) as error:
        train(replace(configs, resume=True))
    assert str(error.value) == (
        f"The training state {file} is damaged; delete it, and the run starts from the beginning."
    )


@pytest.mark.parametrize("pack", ["torch", "pickle"])
def test_no_code_of_a_state_is_run(pack: str, tmp_path: Path) -> None:
    """Neither in torch's archive nor in a bare pickle."""
    file, trace = tmp_path / "checkpoints" / NAME, tmp_path / "trace"
    file.parent.mkdir()
    if pack == "torch":
        torch.save({"step": Code(trace)}, file)
    else:
        file.write_bytes(pickle.dumps(Code(trace)))
    with pytest.raises(CheckpointError, match="is damaged"):
        load_state(tmp_path)
    assert not trace.exists()
