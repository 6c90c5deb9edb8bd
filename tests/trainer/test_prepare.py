"""Preparing data: what is written, how a killed preparation goes on, and what two at once do."""

import json
import os
import pty
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from trainer.config import PRESETS
from trainer.corpus import read_documents
from trainer.data import load_data, read_part
from trainer.errors import DataError
from trainer.loop import train
from trainer.prepare import prepare, prepare_corpus
from trainer.split import SHARED_LINE, split_documents
from trainer.tokenizer import SEPARATOR, train_tokenizer

ROOT = Path(__file__).parents[2]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_tokens_are_the_text(tiny_data: Path, tiny_corpus: Path) -> None:
    """Decoded, each split is its documents, and the manifest's counts are right."""
    tokenizer = Tokenizer.from_file(str(tiny_data / "open" / "tokenizer.json"))
    for name, documents in split_documents(read_documents(tiny_corpus)).items():
        part = read_part(tiny_data / ("hidden" if name == "hidden" else "open"), (name,))
        ids = part.splits[name]
        assert tokenizer.decode(ids.tolist(), skip_special_tokens=False).split("<|endoftext|>")[1:] == documents
        text_bytes = sum(len(document.encode()) for document in documents)
        counts = {"documents": len(documents), "tokens": len(ids), "text_bytes": text_bytes}
        assert part.manifest["splits"][name] == counts


def test_nothing_hidden_is_open(smoke_data: Path) -> None:
    """No 32 tokens in a row of the hidden split, and no long line of its text, are to be found among open files."""
    hidden = read_part(smoke_data / "hidden", ("hidden",)).splits["hidden"]
    pieces = [hidden[i : i + 32].tobytes() for i in range(0, len(hidden) - 32, 32)]
    lines = [
        line.encode()
        for document in split_documents(read_documents(None))["hidden"]
        for line in document.splitlines()
        if len(line) >= 60
    ]
    assert len(pieces) > 1000 < len(lines)
    for name, content in files_of(smoke_data / "open").items():
        assert not any(piece in content for piece in pieces[::20]), name
        assert not any(line in content for line in lines), name


def test_the_tokenizer_knows_the_training_split_alone(tmp_path: Path, tiny_corpus: Path) -> None:
    """Other validation text, same tokenizer and same training tokens."""
    documents = read_documents(tiny_corpus)
    train = split_documents(documents)["train"]
    extra = [word * 20 for word in ("quartz", "fjord", "glyph", "vexing", "sphinx", "jumbo")]
    kept = [d for d in extra * 30 if d not in split_documents([*documents, *extra])["train"]]
    assert kept
    prepare(tmp_path / "a", documents, 300)
    prepare(tmp_path / "b", [*documents, *kept], 300)
    assert split_documents([*documents, *kept])["train"] == train
    for name in ("tokenizer.json", "train.bin"):
        assert (tmp_path / "a" / "open" / name).read_bytes() == (tmp_path / "b" / "open" / name).read_bytes()


def test_preparing_twice_gives_the_same_bytes(tmp_path: Path, tiny_data: Path, tiny_corpus: Path) -> None:
    """File by file."""
    prepare(tmp_path / "again", read_documents(tiny_corpus), 300)
    assert files_of(tmp_path / "again") == files_of(tiny_data)


def test_large_vocabularies_take_four_bytes(tmp_path: Path, tiny_corpus: Path) -> None:
    """And read back as they were."""
    prepare(tmp_path / "data", read_documents(tiny_corpus), 70_000)
    part = read_part(tmp_path / "data" / "open", ("train",))
    assert part.splits["train"].dtype == np.dtype("<u4")
    assert part.splits["train"].max() < 70_000


def test_a_failed_preparation_leaves_nothing(tmp_path: Path) -> None:
    """Neither the folder nor a draft."""
    with pytest.raises(DataError):
        prepare(tmp_path / "data", ["one document"], 300)
    assert not list(tmp_path.iterdir())


def test_the_command_prepares_data(tiny_corpus: Path, tiny_data: Path, tmp_path: Path) -> None:
    """The same bytes as a run would prepare; a folder that exists is refused."""
    words = [sys.executable, "-m", "trainer.data", "--output", tmp_path / "data", "--corpus", tiny_corpus]
    root = Path(__file__).parents[2]
    done = subprocess.run([*words, "--vocab_size", "300"], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"prepared {tmp_path / 'data'}: ")
    assert files_of(tmp_path / "data") == files_of(tiny_data)
    again = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert again.stderr == f"{tmp_path / 'data'} exists already; name a new folder.\n"


def test_the_manifest_is_plain_json(tiny_data: Path) -> None:
    """With the hash of the corpus in both halves."""
    halves = [json.loads((tiny_data / half / "manifest.json").read_text()) for half in ("open", "hidden")]
    assert halves[0]["corpus_sha256"] == halves[1]["corpus_sha256"]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSONL corpus of four thousand documents, some of which share long lines."""
    draw = random.Random(0)
    words = ["the", "sea", "was", "calm", "and", "wind", "over", "hill", "sang", "old", "song", "again"]
    path = tmp_path_factory.mktemp("lines") / "corpus.jsonl"
    with path.open("w") as file:
        for i in range(4000):
            shared = f"line {draw.randrange(100_000)} ".ljust(SHARED_LINE, "~")
            file.write(json.dumps({"text": f"{i}\n{shared}\n{' '.join(draw.choices(words, k=80))}"}) + "\n")
    return path


STREAM = ["--vocab_size", "300", "--shard_tokens", "60000", "--tokens", "0"]


def preparing(output: Path, corpus: Path, *flags: str) -> subprocess.Popen[str]:
    """`python -m trainer.data` at work."""
    words = [sys.executable, "-m", "trainer.data", "--output", str(output), "--corpus", str(corpus), *STREAM, *flags]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def undisturbed(lines: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stream, prepared whole."""
    folder = tmp_path_factory.mktemp("undisturbed") / "data"
    prepare_corpus(folder, replace(PRESETS["smoke"], corpus=str(lines), vocab_size=300), None, 60_000)
    return folder


def documents_of(folder: Path) -> dict[str, list[str]]:
    """The three splits' documents, decoded."""
    tokenizer = Tokenizer.from_file(str(folder / "open" / "tokenizer.json"))
    splits = {}
    for half, name in (("open", "train"), ("open", "visible"), ("hidden", "hidden")):
        ids = read_part(folder / half, (name,)).splits[name].astype(int).tolist()
        splits[name] = tokenizer.decode(ids, skip_special_tokens=False).split(SEPARATOR)[1:]
    return splits


def test_a_stream_is_written_in_shards(undisturbed: Path, lines: Path) -> None:
    """Of a bounded size; the manifest's counts are right, and no long line is on two sides."""
    manifest = read_part(undisturbed / "open", ("train", "visible")).manifest
    shards = sorted(name for name in manifest["files"] if name.startswith("train"))
    assert shards == [f"train-{i:05}.bin" for i in range(len(shards))]
    assert len(shards) > 5
    sizes = [(undisturbed / "open" / name).stat().st_size // 2 for name in shards]
    assert all(60_000 <= size < 61_000 for size in sizes[:-1])
    assert 0 < sizes[-1] < 61_000
    splits = documents_of(undisturbed)
    assert sum(sizes) == manifest["splits"]["train"]["tokens"]
    assert len(splits["train"]) == manifest["splits"]["train"]["documents"]
    assert sum(len(text.encode()) for text in splits["train"]) == manifest["splits"]["train"]["text_bytes"]
    texts = [json.loads(line)["text"] for line in lines.read_text().splitlines()]
    assert [text for text in texts if text in set(splits["train"])] == splits["train"]
    held = {line for name in ("visible", "hidden") for text in splits[name] for line in text.splitlines()[1:]}
    long = {line for line in held if len(line) >= SHARED_LINE}
    assert len(long) > 500
    left_out = set(texts) - set().union(*splits.values())
    assert left_out
    assert not any(long & set(text.splitlines()) for text in splits["train"])
    assert all(long & set(text.splitlines()) for text in left_out)


def test_a_killed_preparation_goes_on(undisturbed: Path, lines: Path, tmp_path: Path) -> None:
    """From its last whole shard, to the same bytes; the draft is gone then."""
    first = preparing(tmp_path / "data", lines)
    assert first.stderr
    for line in first.stderr:
        if line.startswith("prepared train-00000.bin"):
            break
    first.send_signal(signal.SIGKILL)
    first.communicate()
    (draft,) = tmp_path.iterdir()
    shard = draft / "data" / "open" / "train-00000.bin"
    written = shard.stat().st_mtime_ns
    out, errors = preparing(tmp_path / "data", lines).communicate()
    assert out.startswith(f"prepared {tmp_path / 'data'}: ")
    assert "train-00000.bin" not in errors
    assert "prepared train-00005.bin" in errors
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]
    assert files_of(tmp_path / "data") == files_of(undisturbed)
    assert (tmp_path / "data" / "open" / "train-00000.bin").stat().st_mtime_ns == written


def test_a_draft_of_other_settings_is_begun_anew(undisturbed: Path, lines: Path, tmp_path: Path) -> None:
    """So is one whose state cannot be read."""
    configs = replace(PRESETS["smoke"], corpus=str(lines), vocab_size=300)
    for i, state in enumerate((b"{", json.dumps({"plan": {}}).encode())):
        draft = tmp_path / f".{i}-draft"
        (draft / "data" / "open").mkdir(parents=True)
        (draft / "data" / "open" / "train-00099.bin").write_bytes(b"other")
        (draft / "state.json").write_bytes(state)
        prepare_corpus(tmp_path / str(i), configs, None, 60_000)
        assert files_of(tmp_path / str(i)) == files_of(undisturbed)


def test_two_at_once_agree(undisturbed: Path, lines: Path, tmp_path: Path) -> None:
    """One prepares, the other waits for it and takes what it wrote."""
    both = [preparing(tmp_path / "data", lines) for _ in range(2)]
    answers = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert sum("prepared train-00000.bin" in errors for _, errors in answers) == 1
    assert files_of(tmp_path / "data") == files_of(undisturbed)
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]


def test_a_run_takes_as_much_of_a_stream_as_it_needs(lines: Path, tmp_path: Path) -> None:
    """One shard has the plain name; no window repeats within the run; another length prepares anew."""
    configs = replace(PRESETS["smoke"], corpus=str(lines), vocab_size=300, output_dir=str(tmp_path))
    part = load_data(configs)
    assert "train.bin" in part.manifest["files"]
    assert configs.tokens_in_order <= len(part.splits["train"]) < configs.tokens_in_order + 500
    windows = (len(part.splits["train"]) - configs.max_seq_len) // configs.max_seq_len
    assert windows >= configs.steps * configs.batch_size
    load_data(configs)
    assert len(list((tmp_path / ".cache").iterdir())) == 1
    load_data(replace(configs, train_tokens=30_000))
    assert len(list((tmp_path / ".cache").iterdir())) == 2


def test_a_stream_that_breaks_early_leaves_nothing(lines: Path, tmp_path: Path) -> None:
    """No draft stays where no shard is whole."""
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("\n".join([*lines.read_text().splitlines()[:10], "{"]))
    with pytest.raises(DataError, match=r"corpus\.jsonl, line 11: no valid JSON"):
        prepare_corpus(tmp_path / "data", replace(PRESETS["smoke"], corpus=str(corpus)), None)
    assert list(tmp_path.iterdir()) == [corpus]


def test_training_does_not_see_the_shards(undisturbed: Path, lines: Path, tmp_path: Path) -> None:
    """The same tokens in one file give the same losses, bit for bit."""
    configs = replace(PRESETS["smoke"], vocab_size=300, train_tokens=4096, max_seq_len=128)
    prepare_corpus(tmp_path / "whole", replace(configs, corpus=str(lines)), None)
    assert "train.bin" in read_part(tmp_path / "whole" / "open", ("train",)).manifest["files"]
    losses = []
    for data in (undisturbed, tmp_path / "whole"):
        metrics = train(replace(configs, data_dir=str(data), output_dir=str(tmp_path / f"run{len(losses)}")))
        losses.append(json.loads(metrics.read_text())["history"]["val_losses"])
    assert losses[0] == losses[1]


def test_a_tokenizer_can_be_given(tiny_corpus: Path, tmp_path: Path) -> None:
    """As a file; its ids are used, whether or not they fill the vocabulary."""
    given = train_tokenizer(["the sea was calm"] * 3, 280)
    given.save(str(tmp_path / "given.json"))
    prepare(tmp_path / "data", read_documents(tiny_corpus), 300, str(tmp_path / "given.json"))
    assert json.loads((tmp_path / "data" / "open" / "tokenizer.json").read_text()) == json.loads(given.to_str())
    assert read_part(tmp_path / "data" / "open", ("train",)).manifest["vocab_size"] == 300
    assert documents_of(tmp_path / "data") == split_documents(read_documents(tiny_corpus))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read (No such file or directory); give a tokenizer.json."),
        (b"{}", "is no valid tokenizer.json ("),
        (train_tokenizer(["a"], 300).to_str().replace(SEPARATOR, "<s>").encode(), f"has no token {SEPARATOR}"),
        (
            train_tokenizer(["a"], 300).to_str().encode(),
            "has 257 tokens, more than --vocab_size 256; give that number.",
        ),
    ],
)
def test_a_tokenizer_that_cannot_be_used_is_told(content: bytes | None, words: str, tmp_path: Path) -> None:
    """Before anything is written."""
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as error:
        prepare(tmp_path / "data", [f"document {i}" for i in range(200)], 256, str(path))
    assert f"The tokenizer {path} {words}" in str(error.value)
    assert not (tmp_path / "data").exists()


def test_a_terminal_sees_a_bar(lines: Path, tmp_path: Path) -> None:
    """Redrawn in place."""
    shown = "".join(on_a_terminal([*STREAM, "--tokens", "70000", "--output", str(tmp_path / "data")], lines))
    assert "\r[" in shown
    assert "of 70,000 tokens" in shown
    assert "prepared train-00001.bin: 7" in shown


def on_a_terminal(flags: list[str], corpus: Path) -> Iterator[str]:
    """What the command prints on a terminal."""
    master, slave = pty.openpty()
    words = [sys.executable, "-m", "trainer.data", "--corpus", str(corpus), *flags]
    process = subprocess.Popen(words, cwd=ROOT, stdout=slave, stderr=slave)
    os.close(slave)
    try:
        while content := os.read(master, 2**16):
            yield content.decode()
    except OSError:  # Linux reports the end of a terminal as an error
        pass
    finally:
        os.close(master)
        assert process.wait() == 0
