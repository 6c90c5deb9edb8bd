"""Corpora and their split."""

import re
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.corpus import SHARED_LINE, plain_text, read_documents, split_documents
from trainer.errors import DataError


def test_the_default_corpus_is_clean() -> None:
    """1,189 chapters of the King James Bible, more than 3.5 MB, no verse numbers left inside."""
    chapters = read_documents(None)
    assert len(chapters) == 1189
    assert sum(len(chapter) for chapter in chapters) > 3_500_000
    assert chapters[0].startswith("Genesis 1\nIn the beginning God created the heavens and the earth.\nAnd the")
    assert chapters[-1].endswith("The grace of our Lord Jesus Christ be with you all. Amen.")
    assert not any(re.search(r"\d", chapter.split("\n", 1)[1]) for chapter in chapters)


def test_the_default_corpus_splits_about_80_10_10() -> None:
    """Each validation split has enough text for a steady mean, and no long line is on two sides."""
    splits = split_documents(read_documents(None))
    sizes = {name: sum(map(len, documents)) for name, documents in splits.items()}
    shares = {name: size / sum(sizes.values()) for name, size in sizes.items()}
    assert 0.75 < shares["train"] < 0.85
    assert 0.07 < shares["visible"] < 0.13
    assert 0.07 < shares["hidden"] < 0.13
    assert_apart(splits)


def assert_apart(splits: dict[str, list[str]]) -> None:
    """No document and no long line is on two sides."""
    lines = {
        name: {line for document in documents for line in document.splitlines() if len(line) >= SHARED_LINE}
        for name, documents in splits.items()
    }
    for one, other in (("train", "visible"), ("train", "hidden"), ("visible", "hidden")):
        assert not lines[one] & lines[other]
        assert not set(splits[one]) & set(splits[other])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 150), min_size=1, max_size=3), min_size=150, max_size=200))
def test_documents_that_share_a_long_line_stay_together(picks: list[list[int]]) -> None:
    """Directly or through others, also where lines come in any order and documents repeat."""
    long_lines = [f"{i} ".ljust(SHARED_LINE, "x") for i in range(151)]
    documents = ["\n".join([f"short {pick}", *(long_lines[i] for i in pick)]) for pick in picks]
    documents += [f"alone {i}" for i in range(100)]
    splits = split_documents(documents)
    assert_apart(splits)
    assert sorted(chain(*splits.values())) == sorted(documents)


def test_a_side_is_read_off_the_content() -> None:
    """The order of the documents doesn't move them, nor do unrelated additions."""
    documents = [f"document {i}" for i in range(200)]
    sides = {name: set(members) for name, members in split_documents(documents).items()}
    more = split_documents([*reversed(documents), *(f"another {i}" for i in range(50))])
    assert all(sides[name] <= set(more[name]) for name in sides)


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


def test_a_corpus_of_one_document_cannot_be_split() -> None:
    """The sentence says how documents are separated."""
    with pytest.raises(DataError, match="separate documents by blank lines or form feeds"):
        split_documents(["one document"])
