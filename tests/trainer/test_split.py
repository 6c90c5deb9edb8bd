"""The two rules that split a corpus."""

import hashlib
from collections.abc import Iterator
from itertools import chain, count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.corpus import read_documents
from trainer.errors import DataError
from trainer.split import HELD_OUT_BYTES, SHARED_LINE, hold_out, marks, side, split_documents


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


def test_a_corpus_of_one_document_cannot_be_split() -> None:
    """The sentence says how documents are separated."""
    with pytest.raises(DataError, match="separate documents by blank lines or form feeds"):
        split_documents(["one document"])


def split_stream(documents: list[str]) -> dict[str, list[str]]:
    """The three splits as a stream's preparation makes them."""
    held, forbidden = hold_out(documents)
    return {**held, "train": [document for document in documents if marks(document).isdisjoint(forbidden)]}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 150), min_size=1, max_size=3), min_size=150, max_size=200))
def test_a_stream_keeps_shared_lines_apart_too(picks: list[list[int]]) -> None:
    """Exactly, whatever the order; what stands alone is in one of the splits, on the side of its hash."""
    long_lines = [f"{i} ".ljust(SHARED_LINE, "x") for i in range(151)]
    documents = ["\n".join([f"short {pick}", *(f" {long_lines[i]}\t" for i in pick)]) for pick in picks]
    alone = [f"alone {i}" for i in range(100)]
    splits = split_stream([*alone[:50], *documents, *alone[50:]])
    assert_apart(splits)
    for document in alone:
        name = side(hashlib.sha256(document.encode()).hexdigest())
        assert document in splits[name]


def test_a_duplicate_of_a_held_out_document_is_not_trained_on() -> None:
    """Though it has no long line."""
    documents = [f"document {i}" for i in range(200)]
    splits = split_stream(documents * 2)
    assert_apart(splits)
    assert sorted(chain(*splits.values())) == sorted(documents * 2)


def test_validation_splits_of_a_stream_are_bounded() -> None:
    """The stream is read no further than they take; what finds no room is trained on."""
    document = "x" * 59 + "\n"
    taken: list[str] = []

    def endless() -> Iterator[str]:
        for i in count():
            taken.append(f"{i}\n" + document * 2000)
            yield taken[-1]

    held, forbidden = hold_out(endless())
    for members in held.values():
        size = sum(map(len, members))
        assert HELD_OUT_BYTES <= size < HELD_OUT_BYTES + len(taken[-1])
    assert len(taken) < 1500
    splits = {**held, "train": [document for document in taken if marks(document).isdisjoint(forbidden)]}
    assert sum(map(len, splits.values())) == len(taken)


def test_a_stream_of_one_document_cannot_be_split() -> None:
    """Nor an empty one."""
    for documents in ([], ["one document"]):
        with pytest.raises(DataError, match="too few documents"):
            hold_out(documents)
