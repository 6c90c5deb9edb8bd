"""The hub: its datasets and tokenizers through the real library, from a real server on loopback."""

import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from tokenizers import Tokenizer

from tests.trainer.loopback_hub import SHA, Hub, serving
from trainer.data import read_part
from trainer.errors import DataError
from trainer.hub import MIXES, training_files
from trainer.tokenizer import SEPARATOR, train_tokenizer

ROOT = Path(__file__).parents[2]
SMOLLM = "HuggingFaceTB/smollm-corpus"


def parquet_bytes(texts: list[str], rows: int = 100) -> bytes:
    """A Parquet file with a column beside the text, in row groups of `rows` rows."""
    buffer = io.BytesIO()
    table = pa.table({"id": list(range(len(texts))), "text": texts})
    parquet.write_table(table, buffer, row_group_size=rows)
    return buffer.getvalue()


def stories(kind: str, count: int) -> list[str]:
    """Short documents that begin with their kind and number."""
    return [f"{kind} {i}: the sea was calm and song {i * i % 97} was sung again {i % 7} times" for i in range(count)]


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A small smollm-corpus, its tokenizer, and a dataset in JSONL."""
    web, book = stories("web", 600), stories("book", 600)
    tokenizer = train_tokenizer(web[:100], 300).to_str()
    folders = {
        "fineweb-edu-dedup/train-00000-of-00002.parquet": parquet_bytes(web[:300]),
        "fineweb-edu-dedup/train-00001-of-00002.parquet": parquet_bytes(web[300:]),
        "cosmopedia-v2/train-00000-of-00001.parquet": parquet_bytes(book),
        "python-edu/train-00000-of-00001.parquet": b"not read",
        "README.md": b"",
    }
    lines = "\n".join(json.dumps({"text": text}) for text in stories("line", 300)).encode()
    repositories = {
        f"datasets/{SMOLLM}": folders,
        "models/HuggingFaceTB/SmolLM2-135M": {"tokenizer.json": tokenizer.encode()},
        "models/some/bert": {"tokenizer.json": tokenizer.replace(SEPARATOR, "[SEP]").encode()},
        "datasets/some/lines": {"train.jsonl": lines, "test.jsonl": b"not read"},
    }
    with serving(Hub(repositories)) as running:
        yield running


Answers = dict[str, tuple[int, str]]
MANY = """
import contextlib, io, json, sys
from trainer.prepare import main
answers = {}
for words in sys.argv[2:]:
    with contextlib.redirect_stderr(io.StringIO()) as errors, contextlib.redirect_stdout(io.StringIO()):
        code = main(["--preset", "smoke", "--output", f"{sys.argv[1]}/{len(answers)}", *words.split()])
    answers[words] = (code, errors.getvalue())
print(json.dumps(answers))
"""
LINES = "--corpus hf:some/lines --vocab_size 300"
REFUSED = {
    "--corpus hf:no/where": "The Hugging Face hub does not give hf:no/where (",
    "--corpus hf:not-a-name/": "The Hugging Face hub does not give hf:not-a-name/ (Repo id must",
    f"--corpus hf:{SMOLLM}:stories": "(folders that do: cosmopedia-v2, fineweb-edu-dedup, python-edu)",
    f"--corpus hf:{SMOLLM}:python-edu": "python-edu/train-00000-of-00001.parquet cannot be read (Parquet",
    "--corpus hf:some/lines --tokenizer hf:some/bert": "hf:some/bert has no token <|endoftext|>",
    "--corpus hf:some/lines --tokenizer hf:no/where": "The Hugging Face hub does not give hf:no/where (",
    "--corpus hf:some/lines --tokenizer hf:HuggingFaceTB/SmolLM2-135M --vocab_size 299": "has 300 tokens, more than",
}


def python(address: str, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A process of its own: the library reads its environment once, when it is imported."""
    environment = {**os.environ, "HF_HOME": str(home), "HF_ENDPOINT": address}
    return subprocess.run(
        [sys.executable, *words], env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture(scope="module")
def prepared(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answers]:
    """A folder of data folders, in the order of the commands, and each command's exit code and errors."""
    folder = tmp_path_factory.mktemp("hub")
    done = python(hub.address, folder / "home", "-c", MANY, str(folder / "data"), LINES, *REFUSED)
    assert done.returncode == 0, done.stderr
    return folder / "data", json.loads(done.stdout)


def texts_of(folder: Path, name: str) -> list[str]:
    tokenizer = Tokenizer.from_file(str(folder / "open" / "tokenizer.json"))
    ids = read_part(folder / "open", (name,)).splits[name].astype(int).tolist()
    return tokenizer.decode(ids, skip_special_tokens=False).split(SEPARATOR)[1:]


def test_blueberry_is_the_published_mix_with_its_tokenizer(hub: Hub, tmp_path: Path) -> None:
    """70 % of the text from one folder, 30 % from the other, the tokenizer unchanged, the revision on record."""
    words = ["-m", "trainer.data", "--output", str(tmp_path / "data"), "--preset", "blueberry", "--tokens", "12000"]
    done = python(hub.address, tmp_path / "home", *words)
    assert done.returncode == 0, done.stderr
    part = read_part(tmp_path / "data" / "open", ("train",))
    assert 12_000 <= len(part.splits["train"]) < 12_100
    assert part.manifest["corpus"] == f"hf:{SMOLLM}@{SHA}"
    assert part.manifest["vocab_size"] == 49_152
    published = hub.repositories["models/HuggingFaceTB/SmolLM2-135M"]["tokenizer.json"]
    assert json.loads((tmp_path / "data" / "open" / "tokenizer.json").read_bytes()) == json.loads(published)
    sizes = {"web": 0, "book": 0}
    for text in texts_of(tmp_path / "data", "train"):
        sizes[text.split()[0]] += len(text)
    assert sizes["web"] / sum(sizes.values()) == pytest.approx(MIXES[SMOLLM].shares["fineweb-edu-dedup"], abs=0.02)


def test_only_what_is_used_is_asked_for(prepared: tuple[Path, Answers], hub: Hub) -> None:
    """A dataset's training files, the test split left alone; a tokenizer is trained where none is named."""
    folder, answers = prepared
    assert answers[LINES][0] == 0, answers[LINES][1]
    found = texts_of(folder / "0", "train") + texts_of(folder / "0", "visible")
    assert set(found) < set(stories("line", 300))
    assert len(found) > 200
    asked = [path for path in hub.asked if "/resolve/" in path]
    assert any(path.endswith("train.jsonl") for path in asked)
    assert not any("test" in path for path in asked)


@pytest.mark.parametrize("words", REFUSED)
def test_what_the_hub_does_not_have_is_told_in_one_sentence(words: str, prepared: tuple[Path, Answers]) -> None:
    """And nothing but what was asked for and exists is left behind."""
    folder, answers = prepared
    code, sentence = answers[words]
    assert code == 1
    assert REFUSED[words] in sentence
    assert sentence.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["0"]


def test_a_hub_that_cannot_be_reached_is_told_at_once(tmp_path: Path) -> None:
    """No retries, and what else could be trained on: the King James Bible is never taken silently."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        done = python(address, tmp_path, "train_llm.py", "--preset", "blueberry", "--output_dir", str(tmp_path))
    assert done.returncode == 1
    assert "does not give hf:HuggingFaceTB/smollm-corpus ([Errno 111] Connection refused)" in done.stderr
    assert done.stderr.endswith("or give another --corpus, such as kjv.\n")
    assert "Retrying" not in done.stderr


def test_a_hub_that_fails_midway_is_gone_on_with(tmp_path: Path) -> None:
    """What was whole is kept, and the end is the same as undisturbed."""
    files = {f"{i}.parquet": parquet_bytes(stories(f"part {i}", 1500)) for i in range(3)}
    (tmp_path / "tokenizer.json").write_text(train_tokenizer(stories("part", 100), 300).to_str())
    script = (
        "import sys; from trainer.prepare import main\n"
        "words = '--preset smoke --corpus hf:some/parts --tokens 0 --shard_tokens 20000 --tokenizer'.split()\n"
        "for name in ('broken', 'broken', 'whole'):\n"
        "    print(main([*words, f'{sys.argv[1]}/tokenizer.json', '--output', f'{sys.argv[1]}/{name}']))\n"
    )
    # A file is read for validation first, then for training.
    with serving(Hub({"datasets/some/parts": files}, failing={"1.parquet": 2})) as failing:
        done = python(failing.address, tmp_path, "-c", script, str(tmp_path))
    assert done.stdout.split("\n")[0] == "1", done.stderr
    assert [line[:8] for line in done.stdout.splitlines()[1:]] == ["prepared", "0", "prepared", "0"]
    before, _, after = done.stderr.partition("/1.parquet cannot be read (404 Client Error.); check the network and run")
    assert "prepared train-00000.bin" in before
    assert after.count("prepared train-00000.bin") == 1, "the resumed one wrote its first shard again"
    halves = [
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("broken", "whole")
    ]
    assert halves[0] == halves[1]


def test_files_named_after_another_split_are_left_alone() -> None:
    """Where some are named after "train"; otherwise all are taken."""
    names = ["data/validation-0.parquet", "data/train-1.parquet", "data/train-0.parquet", "more/a.jsonl", "x.csv"]
    assert training_files(names, "", "hf:x") == ["data/train-0.parquet", "data/train-1.parquet"]
    assert training_files(names, "more", "hf:x") == ["more/a.jsonl"]
    with pytest.raises(DataError, match="folders that do: data, more"):
        training_files(names, "mor", "hf:x")
