"""Corpora that are read one document at a time."""

import gzip
import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from trainer.errors import DataError
from trainer.stream import CorpusFile, Place, Source, Stream, is_stream, local_stream, open_binary

ROOT = Path(__file__).parents[2]


def write_lines(path: Path, texts: list[str]) -> Path:
    content = "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts)).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_parquet(path: Path, texts: list[Any], rows: int = 10, column: str = "text") -> Path:
    parquet.write_table(pa.table({"id": list(range(len(texts))), column: texts}), path, row_group_size=rows)
    return path


def texts_of(path: Path) -> list[str]:
    return [document for document, _ in local_stream(path).documents()]


NAMES = ["a.jsonl", "a.ndjson", "a.jsonl.gz", "a.parquet"]


@pytest.mark.parametrize("name", NAMES)
def test_each_format_gives_its_documents(name: str, tmp_path: Path) -> None:
    """In order, the text as it is but for blanks around it."""
    texts = ["one\n\ntwo \f three", " é ", *(f"document {i}" for i in range(1000))]
    write = write_parquet if name.endswith(".parquet") else write_lines
    assert is_stream(write(tmp_path / name, texts))
    assert texts_of(tmp_path / name) == [text.strip() for text in texts]


def test_a_folder_gives_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Whatever their formats; other files are not read."""
    write_lines(tmp_path / "2.jsonl", ["c"])
    write_parquet(tmp_path / "1.parquet", ["a", "b"])
    write_lines(tmp_path / "3.jsonl.gz", ["d"])
    (tmp_path / "0.txt").write_text("not read")
    assert is_stream(tmp_path)
    assert texts_of(tmp_path) == ["a", "b", "c", "d"]


def test_plain_text_is_no_stream(tmp_path: Path) -> None:
    """Nor is a file that does not exist."""
    (tmp_path / "a.txt").write_text("text")
    assert not is_stream(tmp_path / "a.txt")
    assert not is_stream(tmp_path / "none")


def test_blank_rows_of_parquet_are_passed_over(tmp_path: Path) -> None:
    """Nobody can repair a published file."""
    assert texts_of(write_parquet(tmp_path / "a.parquet", ["a", None, " \n", "b"])) == ["a", "b"]


def test_reading_goes_on_from_any_place(tmp_path: Path) -> None:
    """In a mix of formats and shares, the places behind a document lead to the rest."""
    one = [write_parquet(tmp_path / f"{i}.parquet", [f"one {i} {j}" * (j % 3) for j in range(25)]) for i in range(3)]
    two = [write_lines(tmp_path / f"{i}.jsonl", [f"two {i} {j}" for j in range(15)]) for i in range(3)]
    files = [[CorpusFile(str(path), lambda path=path: open_binary(path)) for path in paths] for paths in (one, two)]
    stream = Stream([Source(files[0], 0.6), Source(files[1], 0.4)], "mix", {})
    whole = list(stream.documents())
    assert len(whole) > 60
    for i, (_, places) in enumerate(whole):
        assert list(stream.documents(places)) == whole[i + 1 :]


def test_a_mix_keeps_its_shares_of_the_text(tmp_path: Path) -> None:
    """At every length, though the documents' sizes differ; it ends with the first source that ends."""
    long = write_lines(tmp_path / "long.jsonl", ["long " * 50 + str(i) for i in range(100)])
    short = write_lines(tmp_path / "short.jsonl", [f"short {i}" for i in range(10_000)])
    sources = [Source(local_stream(path).sources[0].files, share) for path, share in ((long, 0.7), (short, 0.3))]
    items = list(Stream(sources, "mix", {}).documents())
    for _, places in islice(items, 100, None, 50):
        assert places[0].size / (places[0].size + places[1].size) == pytest.approx(0.7, abs=0.05)
    assert items[-1][1][0] == Place(100, sum(len(f"{'long ' * 50}{i}") for i in range(100)))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "no valid JSON ("),
        (b"[" * 100_000, "no valid JSON ("),
        (b'{"text": "\xff"}', "no valid JSON ("),
        (b'["a"]', "an array instead of an object with the field text."),
        (b"7", "a number instead of an object"),
        (b'{"id": 1, "content": "a"}', "no field text (found: id, content); rename the one that holds the document."),
        (b"{}", "no field text (found: none)"),
        (b'{"text": null}', "the field text is null instead of a string."),
        (b'{"text": ["a"]}', "the field text is an array instead of a string."),
        (b'{"text": true}', "the field text is a boolean instead of a string."),
        (b'{"text": "\\ud800"}', "the field text is not valid Unicode (surrogates not allowed)"),
    ],
)
def test_a_broken_line_is_told_with_its_number(line: bytes, words: str, tmp_path: Path) -> None:
    """In one sentence that names the file."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "fine"}\n' + line + b"\n")
    with pytest.raises(DataError) as error:
        texts_of(path)
    assert str(error.value).startswith(f"{path}, line 2: {words}")


def test_a_parquet_file_without_texts_is_told(tmp_path: Path) -> None:
    """With the columns that it has, or what the column holds."""
    with pytest.raises(DataError, match=r"a.parquet: no column text \(found: id, content\); rename"):
        texts_of(write_parquet(tmp_path / "a.parquet", ["a"], column="content"))
    with pytest.raises(DataError, match=r"b.parquet: the column text holds int64 instead of strings"):
        texts_of(write_parquet(tmp_path / "b.parquet", [1]))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.parquet"])
@pytest.mark.parametrize("harm", ["cut", "garbled", "empty"])
def test_a_damaged_file_is_told(name: str, harm: str, tmp_path: Path) -> None:
    """With its path."""
    path, texts = tmp_path / name, [os.urandom(20).hex() for _ in range(500)]
    (write_parquet if name == "a.parquet" else write_lines)(path, texts)
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "garbled": content[::-1], "empty": b""}[harm])
    if (name, harm) == ("a.jsonl.gz", "empty"):
        assert texts_of(path) == []  # to gzip, nothing is nothing; the split refuses it
        return
    with pytest.raises(DataError, match=f"^The corpus {path} cannot be read "):
        texts_of(path)


def test_a_corpus_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Also a folder without a file that could be read."""
    with pytest.raises(DataError, match=r"none.jsonl cannot be read \(No such file or directory\)"):
        local_stream(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="holds no corpus; give one with files"):
        local_stream(tmp_path)


def test_without_pyarrow_parquet_is_refused_and_jsonl_is_read(tmp_path: Path) -> None:
    """The sentence says what to install."""
    write_parquet(tmp_path / "a.parquet", ["a"])
    write_lines(tmp_path / "a.jsonl", ["a"])
    script = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from pathlib import Path; from trainer.stream import local_stream; from trainer.errors import DataError\n"
        "for path in sys.argv[1:]:\n"
        "    try: print([text for text, _ in local_stream(Path(path)).documents()])\n"
        "    except DataError as error: print(error)\n"
    )
    words = [sys.executable, "-c", script, tmp_path / "a.jsonl", tmp_path / "a.parquet"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "['a']",
        f"{tmp_path / 'a.parquet'} needs pyarrow to be read; run `pip install pyarrow`.",
    ]
