"""The split of a corpus: documents -> train, visible validation, hidden validation.

Whatever the rule, no line of 60 characters or more of a validation document is in the training text, nor in
the other validation split. `split_documents` ties documents together and needs them all; `hold_out` sees them
one at a time and drops what would break the rule.
PROTECTED: what is measured depends on this module.
"""

import hashlib
from collections.abc import Iterable, Sequence

from trainer.errors import DataError

Splits = dict[str, list[str]]

SHARED_LINE = 60  # characters from which an identical line ties two documents to one side of the split
MARK_BYTES = 8
HELD_OUT_BYTES = 8 * 2**20  # text of a stream's visible split, and of its hidden one


def side(digest: str) -> str:
    """The split of a document, read off the SHA-256 of its content: about 80 / 10 / 10 %."""
    fraction = int(digest[:8], 16) / 2**32
    return "train" if fraction < 0.8 else "visible" if fraction < 0.9 else "hidden"


def split_documents(documents: Sequence[str]) -> Splits:
    """About 80 / 10 / 10 % of the documents as "train", "visible" and "hidden", each in its original order.

    A document's side is read off the hash of its content, whatever its neighbours are. Documents that share a
    long line, directly or through others, share the smallest of their hashes and so a side. Raises DataError
    for an empty split.
    """
    splits: Splits = {"train": [], "visible": [], "hidden": []}
    for document, key in zip(documents, shared_keys(documents), strict=True):
        splits[side(key)].append(document)
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


def hold_out(documents: Iterable[str]) -> tuple[Splits, set[bytes]]:
    """The validation splits of a stream, and the marks that no training document may bear.

    A document's side is read off its hash, as in `split_documents`. Each split ends once it holds HELD_OUT_BYTES
    of text: the stream is read no further than that takes, and memory is bounded. A document that bears a mark of
    the other split is left out. Raises DataError for an empty split.
    """
    splits: Splits = {"visible": [], "hidden": []}
    held: dict[str, set[bytes]] = {name: set() for name in splits}
    room = dict.fromkeys(splits, HELD_OUT_BYTES)
    for document in documents:
        content = document.encode()
        name = side(hashlib.sha256(content).hexdigest())
        if name == "train" or room[name] <= 0:
            continue
        own = marks(document)
        if own.isdisjoint(held["hidden" if name == "visible" else "visible"]):
            splits[name].append(document)
            held[name] |= own
            room[name] -= len(content)
        if max(room.values()) <= 0:
            break
    for name, members in splits.items():
        if not members:
            raise DataError(f"The corpus has too few documents: none falls into the {name} split; give a larger one.")
    return splits, held["visible"] | held["hidden"]


def marks(document: str) -> set[bytes]:
    """Digests of the document and of its long lines: two documents with none in common share no long line."""
    lines = (line for line in map(str.strip, document.splitlines()) if len(line) >= SHARED_LINE)
    return {hashlib.blake2b(text.encode(), digest_size=MARK_BYTES).digest() for text in (document, *lines)}
