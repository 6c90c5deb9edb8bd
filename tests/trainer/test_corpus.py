"""Corpora that are held in memory."""

import re
from pathlib import Path

import pytest

from trainer.corpus import plain_text, read_documents
from trainer.errors import DataError


def test_the_default_corpus_is_clean() -> None:
    """1,189 chapters of the King James Bible, more than 3.5 MB, no verse numbers left inside."""
    chapters = read_documents(None)
    assert len(chapters) == 1189
    assert sum(len(chapter) for chapter in chapters) > 3_500_000
    assert chapters[0].startswith("Genesis 1\nIn the beginning God created the heavens and the earth.\nAnd the")
    assert chapters[-1].endswith("The grace of our Lord Jesus Christ be with you all. Amen.")
    assert not any(re.search(r"\d", chapter.split("\n", 1)[1]) for chapter in chapters)


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        ("a\nb\n\nc\n \t\nd\n", ["a\nb", "c", "d"]),
        ("a\n\nb\fc\n\nd\f", ["a\n\nb", "c\n\nd"]),
        ("\r\na\r\n\r\nb", ["a", "b"]),
    ],
)
def test_blank_lines_or_form_feeds_separate_documents(text: str, documents: list[str], tmp_path: Path) -> None:
    """Form feeds win where there are any."""
    path = tmp_path / "corpus.txt"
    path.write_bytes(text.encode())
    assert plain_text(path) == documents


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "is empty"),
        (b" \n\n ", "is empty"),
        (b"ab\xff\n", "is not UTF-8 text (byte 2)"),
    ],
)
def test_a_corpus_that_cannot_be_used_is_told_in_one_sentence(
    content: bytes | None, words: str, tmp_path: Path
) -> None:
    """With the path, and what to do."""
    path = tmp_path / "corpus.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(f"The corpus {path} {words}")):
        read_documents(path)
