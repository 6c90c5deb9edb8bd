"""Corpora that are read one document at a time: JSONL and Parquet files, alone, in a folder, or mixed.

A JSONL line is an object whose field `text` is the document; a Parquet file has a column `text`.
PROTECTED: what is measured depends on this module.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from trainer.errors import DataError

HUB = "hf:"  # begins the names of corpora and tokenizers on the Hugging Face hub
FIELD = "text"
JSON_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
SUFFIXES = (*JSON_LINES, ".parquet")
ROWS_AT_ONCE = 256  # of a Parquet file in memory, beside the row group that its column is read from


@dataclass(frozen=True)
class CorpusFile:
    """A file of documents, wherever it lies: the errors that reading it may raise, and what to do then."""

    name: str
    open: Callable[[], BinaryIO]
    errors: tuple[type[Exception], ...] = (OSError,)
    remedy: str = "repair or replace it"


@dataclass(frozen=True)
class Source:
    """Files that are read one after another, and how large a part of the text is to come from them."""

    files: Sequence[CorpusFile]
    share: float = 1.0


class Place(NamedTuple):
    """How far a source has been read: rows (blank ones too), and bytes of their text."""

    rows: int = 0
    size: int = 0


@dataclass(frozen=True)
class Stream:
    """A corpus whose documents come one at a time, in an order that never changes.

    `origin` names the corpus, `identity` is all that its documents depend on, in plain JSON, and `tokenizer` names
    the one that belongs to it.
    """

    sources: Sequence[Source]
    origin: str
    identity: dict[str, Any]
    tokenizer: str | None = None

    def documents(self, places: Sequence[Place] = ()) -> Iterator[tuple[str, list[Place]]]:
        """Each document with the places behind it, from which another call goes on. Raises DataError.

        The next document comes from the source that is furthest behind its share of the text. The stream ends
        with the first source that ends, so that the shares hold to the end. Blank documents are passed over.
        """
        behind = list(places) or [Place()] * len(self.sources)
        readers = [read_rows(source.files, place.rows) for source, place in zip(self.sources, behind, strict=True)]
        while True:
            i = min(range(len(readers)), key=lambda i: behind[i].size / self.sources[i].share)
            text = next(readers[i], None)
            if text is None:
                return
            behind[i] = Place(behind[i].rows + 1, behind[i].size + len(text.encode()))
            if document := text.strip():
                yield document, behind.copy()


def is_stream(corpus: Path) -> bool:
    """Whether the files at this path are read one document at a time; others are plain text."""
    return corpus.is_dir() or corpus.name.lower().endswith(SUFFIXES)


def local_stream(corpus: Path) -> Stream:
    """The stream of a file, or of a folder's files in the order of their names. Raises DataError."""
    try:
        paths = sorted(corpus.iterdir()) if corpus.is_dir() else [corpus]
        paths = [path for path in paths if path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")]
        files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    except OSError as error:
        raise DataError(
            f"The corpus {error.filename} cannot be read ({error.strerror}); give one that exists."
        ) from error
    if not paths:
        raise DataError(
            f"The folder {corpus} holds no corpus; give one with files that end in {' or '.join(SUFFIXES)}."
        )
    sources = [Source([CorpusFile(str(path), partial(open_binary, path)) for path in paths])]
    return Stream(sources, str(corpus), {"path": str(corpus.resolve()), "files": files})


def open_binary(path: Path) -> BinaryIO:
    """A local file, opened for reading."""
    return path.open("rb")


def read_rows(files: Sequence[CorpusFile], skip: int) -> Iterator[str]:
    """The text of every row but the first `skip` ones. Raises DataError."""
    for file in files:
        read = parquet_rows if file.name.lower().endswith(".parquet") else json_rows
        failures: tuple[type[Exception], ...] = (*file.errors, EOFError, zlib.error, ValueError)
        try:
            skip = yield from read(file, skip)
        except failures as error:
            reason = getattr(error, "strerror", None) or str(error).strip().split("\n")[0]
            raise DataError(f"The corpus {file.name} cannot be read ({reason}); {file.remedy}.") from error


def json_rows(file: CorpusFile, skip: int) -> Generator[str, None, int]:
    """The texts of a JSONL file behind the first `skip` ones; returns how many were left to skip at its end."""
    with file.open() as raw, gzip.GzipFile(fileobj=raw) if file.name.lower().endswith(".gz") else raw as lines:
        for number, line in enumerate(lines, start=1):
            if skip:
                skip -= 1
            else:
                yield text_of(line, f"{file.name}, line {number}") if line.strip() else ""
    return skip


def text_of(line: bytes, where: str) -> str:
    """The field `text` of one line of JSONL. Raises DataError."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: no valid JSON ({error}); each line must be an object with a {FIELD}.") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: {kind(row)} instead of an object with the field {FIELD}.")
    if FIELD not in row:
        found = ", ".join(map(str, row)) or "none"
        raise DataError(f"{where}: no field {FIELD} (found: {found}); rename the one that holds the document.")
    text = row[FIELD]
    if not isinstance(text, str):
        raise DataError(f"{where}: the field {FIELD} is {kind(text)} instead of a string.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: the field {FIELD} is not valid Unicode ({error.reason}); repair it.") from error
    return text


def kind(value: object) -> str:
    """What JSON calls a value of this type."""
    names = {type(None): "null", bool: "a boolean", list: "an array", dict: "an object", str: "a string"}
    return names.get(type(value), "a number")


def parquet_rows(file: CorpusFile, skip: int) -> Generator[str, None, int]:
    """The texts of a Parquet file behind the first `skip` rows, null as ""; returns how many were left to skip.

    Row groups that are skipped whole are not read.
    """
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(f"{file.name} needs pyarrow to be read; run `pip install pyarrow`.") from error
    with file.open() as raw, parquet.ParquetFile(raw) as table:
        check_column(table.schema_arrow, file.name)
        for group in range(table.num_row_groups):
            rows = table.metadata.row_group(group).num_rows
            if skip >= rows:
                skip -= rows
                continue
            for batch in table.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=[FIELD]):
                for text in batch.column(0).to_pylist():
                    if skip:
                        skip -= 1
                    else:
                        yield text or ""
    return skip


def check_column(schema: Any, name: str) -> None:
    """Raises DataError unless a Parquet file's schema has a column `text` of strings."""
    if FIELD not in schema.names:
        found = ", ".join(schema.names) or "none"
        raise DataError(f"{name}: no column {FIELD} (found: {found}); rename the one that holds the documents.")
    if (found := str(schema.field(FIELD).type)) not in ("string", "large_string", "string_view"):
        raise DataError(f"{name}: the column {FIELD} holds {found} instead of strings.")
