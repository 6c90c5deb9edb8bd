"""Serving: exactly the windows of one run, and the same bytes when it is trained on them."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer.conftest import Result, result_of
from trainer.config import PRESETS, Configs
from trainer.data import Part, load_data, read_part, training_batches, write_manifest
from trainer.errors import DataError
from trainer.loop import train
from trainer.serve import main, serve

FILES = {"manifest.json", "tokenizer.json", "train.bin", "visible.bin"}


@pytest.fixture
def served(tiny: Configs, tmp_path: Path) -> Configs:
    """The tiny settings, with what was served to their run as its data."""
    serve(tmp_path / "served", Path(str(tiny.data_dir)), tiny)
    return replace(tiny, data_dir=str(tmp_path / "served"))


def batches(part: Part, configs: Configs, count: int) -> list[list[list[int]]]:
    tokens = part.splits["train"]
    every = training_batches(tokens, configs.batch_size, configs.max_seq_len, configs.seed)
    return [torch.cat([inputs, targets], 1).tolist() for inputs, targets in islice(every, count)]


def test_a_served_part_holds_the_windows_of_its_run_and_no_more(tiny: Configs, served: Configs) -> None:
    """In order; the visible split and the tokenizer are there as they were, and nothing hidden is."""
    whole, part = load_data(tiny), load_data(served)
    assert batches(part, tiny, tiny.steps) == batches(whole, tiny, tiny.steps)
    folder = Path(str(served.data_dir))
    assert {str(file.relative_to(folder)) for file in folder.rglob("*.*")} == {f"open/{name}" for name in FILES}
    tokens = tiny.steps * tiny.batch_size * (tiny.max_seq_len + 1)
    assert (folder / "open" / "train.bin").stat().st_size == 2 * tokens
    assert part.manifest["splits"]["train"] == {"tokens": tokens}
    assert part.manifest["served"] == {"seed": tiny.seed, "length": tiny.max_seq_len}
    assert np.array_equal(part.splits["visible"][:], whole.splits["visible"][:])


def test_a_run_of_served_tokens_ends_with_the_same_bytes(
    train_tiny: Callable[..., Result], tiny: Configs, served: Configs
) -> None:
    """In its losses and its weights; a run with another seed ends with others."""
    one, other = train_tiny(), train_tiny(data_dir=served.data_dir)
    assert (one.losses, one.weights_sha256) == (other.losses, other.weights_sha256)
    assert train_tiny(seed=tiny.seed + 1).weights_sha256 != one.weights_sha256


@pytest.mark.long
def test_a_smoke_run_of_served_tokens_ends_with_the_same_bytes(smoke_data: Path, tmp_path: Path) -> None:
    """The whole preset, on the corpus that comes with the set-up."""
    configs = PRESETS["smoke"]
    serve(tmp_path / "served", smoke_data, configs)
    results = []
    for data in (smoke_data, tmp_path / "served"):
        train(replace(configs, data_dir=str(data), output_dir=str(tmp_path / data.name)))
        results.append(result_of(tmp_path / data.name))
    assert results[0].losses == results[1].losses
    assert results[0].weights_sha256 == results[1].weights_sha256


def test_a_split_in_shards_is_served_too(tiny: Configs, served: Configs, tmp_path: Path) -> None:
    """And none of them is handed on."""
    source, shards = Path(str(tiny.data_dir)) / "open", tmp_path / "shards" / "open"
    shards.mkdir(parents=True)
    ids, about = (source / "train.bin").read_bytes(), read_part(source, ()).manifest
    for name, content in (("train-00000.bin", ids[:4000]), ("train-00001.bin", ids[4000:])):
        (shards / name).write_bytes(content)
    for name in ("visible.bin", "tokenizer.json"):
        (shards / name).write_bytes((source / name).read_bytes())
    write_manifest(shards, {name: about[name] for name in ("format", "corpus_sha256", "vocab_size")}, about["splits"])
    serve(tmp_path / "again", shards.parent, tiny)
    for name in FILES:
        assert (tmp_path / "again" / "open" / name).read_bytes() == (tmp_path / "served" / "open" / name).read_bytes()
    assert {file.name for file in (tmp_path / "again" / "open").iterdir()} == FILES


@pytest.mark.parametrize(("seq_len", "batch_size"), [(16, 8), (64, 2), (24, 3)])
def test_windows_of_another_length_are_cut_from_what_was_served(seq_len: int, batch_size: int, served: Configs) -> None:
    """From first to last, one behind the other, as many as a run of as many tokens takes; then the first again."""
    configs = replace(served, max_seq_len=seq_len, batch_size=batch_size)
    part = load_data(configs)
    stream = np.asarray(part.splits["train"][:])
    taken = [row for batch in batches(part, configs, configs.steps) for row in batch]
    assert len(taken) == configs.steps * batch_size
    whole = (len(stream) - 1) // seq_len
    for number, row in enumerate(taken):
        first = number % whole * seq_len
        assert row[:seq_len] == stream[first : first + seq_len].tolist()
        assert row[seq_len:] == stream[first + 1 : first + seq_len + 1].tolist()


def test_the_last_batch_is_filled_with_the_first_windows(tiny: Configs, served: Configs) -> None:
    """A batch that does not divide the windows sees no other token for it."""
    configs = replace(served, batch_size=3)
    part = load_data(configs)
    rows = [row for batch in batches(part, configs, configs.steps) for row in batch]
    drawn = [row for batch in batches(load_data(tiny), tiny, tiny.steps) for row in batch]
    assert (len(rows), len(drawn)) == (18, 16)
    assert rows == [*drawn, *drawn[:2]]


def test_a_run_that_takes_more_than_it_was_served_is_told_so(
    train_tiny: Callable[..., Result], served: Configs
) -> None:
    """In one sentence, behind the last served batch."""
    with pytest.raises(DataError, match=r"The 528 tokens .* spent after 4 batches of 4 windows of 32 tokens"):
        train_tiny(data_dir=served.data_dir, train_tokens=640)


def test_a_run_of_another_seed_is_told_so(train_tiny: Callable[..., Result], served: Configs) -> None:
    with pytest.raises(DataError, match="served to a run with --seed 42, not 43"):
        train_tiny(data_dir=served.data_dir, seed=43)


def test_the_command_serves_several_seeds(smoke_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each in a folder of its own, named by it; what is there or was served itself is not drawn from or over."""
    common = ["--preset", "smoke", "--train_tokens", "1000", "--output", str(tmp_path)]
    assert main([*common, "--data", str(smoke_data), "--seeds", "3,12345678901"]) == 0
    assert capsys.readouterr().out.count("served 1040 tokens in ") == 2
    starts = [read_part(tmp_path / seed / "open", ("train",)).splits["train"][:65] for seed in ("3", "12345678901")]
    assert not np.array_equal(*starts)
    assert main([*common, "--data", str(smoke_data), "--seeds", "3"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main([*common, "--data", str(tmp_path / "3"), "--seeds", "4"]) == 1
    assert "was itself served" in capsys.readouterr().err
