"""A stream, prepared shard by shard in a draft beside the folder that it will be.

    .NAME-draft/state.json   the plan and how far it is    marks.bin   what no training document may bear
    .NAME-draft/data/        open/ and hidden/, which one rename makes the folder NAME

After a kill the next preparation of the same plan goes on behind the last whole shard and ends with the same bytes.
PROTECTED: what is measured depends on this module.
"""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import tee
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from trainer.corpus import corpus_sha256
from trainer.data import FORMAT, TOKENIZER, Ids, shard_name, write_manifest, writing
from trainer.errors import DataError
from trainer.progress import Progress
from trainer.split import MARK_BYTES, hold_out, marks
from trainer.stream import Place, Stream
from trainer.tokenizer import encode, load_tokenizer, train_tokenizer, write_splits

STATE, MARKS = "state.json", "marks.bin"
SHARD_TOKENS = 2**23  # a shard ends with the document that fills it
TOKENIZER_BYTES = 32 * 2**20  # of a stream's training text, from which its tokenizer is trained
Counts = dict[str, int]
Tokenized = tuple[str, Ids, list[Place]]


@dataclass
class State:
    """How far a draft is: all that it takes to go on behind its last whole shard."""

    digest: str  # chained SHA-256 of the documents so far, in hexadecimal
    validation: dict[str, Counts]
    places: list[Place] = field(default_factory=list)
    shards: list[Counts] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Training tokens in whole shards."""
        return sum(shard["tokens"] for shard in self.shards)


def prepare_stream(
    folder: Path,
    stream: Stream,
    vocab_size: int,
    tokenizer: str | None,
    limit: int | None,
    shard_tokens: int = SHARD_TOKENS,
) -> None:
    """Writes about `limit` training tokens of the stream (None: all), and validation splits of a bounded size.

    Another process that prepares the same folder is waited for. Raises DataError; what is whole by then stays in
    the draft.
    """
    plan = {
        "format": FORMAT,
        "corpus": stream.identity,
        "vocab_size": vocab_size,
        "tokenizer": tokenizer,
        "limit": limit,
        "shard_tokens": shard_tokens,
    }
    draft = folder.with_name(f".{folder.name}-draft")
    with writing(folder), alone(draft):
        if folder.exists():  # the process that was waited for has written it
            return shutil.rmtree(draft)
        try:
            state = resume(draft, plan) or begin(draft, plan, stream)
            write_shards(draft, plan, state, stream)
            finish(draft, plan, state, stream.origin)
            (draft / "data").rename(folder)
        finally:
            if folder.exists() or not any(draft.glob("data/open/train-*.bin")):
                shutil.rmtree(draft)


@contextmanager
def alone(draft: Path) -> Iterator[None]:
    """Makes the folder `draft` and locks it against other processes. The lock ends with the process."""
    while True:
        draft.mkdir(parents=True, exist_ok=True)
        handle = os.open(draft, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting for the process that works on {draft}", file=sys.stderr, flush=True)
                fcntl.flock(handle, fcntl.LOCK_EX)
            if draft.exists() and os.path.samestat(draft.stat(), os.fstat(handle)):
                yield
                return
        finally:
            os.close(handle)


def resume(draft: Path, plan: dict[str, Any]) -> State | None:
    """The state of a draft of the same plan, or None."""
    try:
        saved = json.loads((draft / STATE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if saved.pop("plan") != json.loads(json.dumps(plan)):
        return None
    return State(**{**saved, "places": [Place(*place) for place in saved["places"]]})


def begin(draft: Path, plan: dict[str, Any], stream: Stream) -> State:
    """A draft with its tokenizer and its validation splits, and no shard yet."""
    (draft / STATE).unlink(missing_ok=True)
    shutil.rmtree(draft / "data", ignore_errors=True)
    for half in ("open", "hidden"):
        (draft / "data" / half).mkdir(parents=True)
    tokenizer = load_tokenizer(plan["tokenizer"], plan["vocab_size"]) if plan["tokenizer"] else None
    held, forbidden = hold_out(document for document, _ in stream.documents())
    (draft / MARKS).write_bytes(b"".join(sorted(forbidden)))
    if tokenizer is None:
        training = (document for document, _ in training_documents(draft, stream, []))
        tokenizer = train_tokenizer(first_bytes(training, TOKENIZER_BYTES), plan["vocab_size"])
    tokenizer.save(str(draft / "data" / "open" / TOKENIZER))
    visible, hidden = (
        write_splits(draft / "data" / half, tokenizer, {name: held[name]}, plan["vocab_size"])
        for half, name in (("open", "visible"), ("hidden", "hidden"))
    )
    state = State(corpus_sha256([*held["visible"], *held["hidden"]]), visible | hidden)
    save(draft, plan, state)
    return state


def save(draft: Path, plan: dict[str, Any], state: State) -> None:
    """Writes the state, whole or not at all."""
    write_whole(draft / STATE, json.dumps({"plan": plan, **asdict(state)}).encode())


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file that is whole wherever it is found, whenever the process is killed."""
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_bytes(content)
    unfinished.rename(path)


def training_documents(draft: Path, stream: Stream, places: Sequence[Place]) -> Iterator[tuple[str, list[Place]]]:
    """The documents behind `places` that share nothing with the validation splits, with the places behind them."""
    content = (draft / MARKS).read_bytes()
    forbidden = {content[i : i + MARK_BYTES] for i in range(0, len(content), MARK_BYTES)}
    return (item for item in stream.documents(places) if marks(item[0]).isdisjoint(forbidden))


def first_bytes(documents: Iterable[str], size: int) -> Iterator[str]:
    """The documents up to the one with which they hold `size` bytes."""
    for document in documents:
        yield document
        size -= len(document.encode())
        if size <= 0:
            return


def write_shards(draft: Path, plan: dict[str, Any], state: State, stream: Stream) -> None:
    """Writes the shards that are missing, each followed by the state behind it."""
    folder, limit = draft / "data" / "open", plan["limit"]
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    items = tokenized(tokenizer, plan["vocab_size"], training_documents(draft, stream, state.places))
    progress = Progress(state.tokens, limit)
    while limit is None or state.tokens < limit:
        wanted = plan["shard_tokens"] if limit is None else min(plan["shard_tokens"], limit - state.tokens)
        shard = list(up_to(items, wanted, progress))
        if not shard:
            return
        ids = np.concatenate([ids for _, ids, _ in shard])
        name = shard_name("train", len(state.shards))
        write_whole(folder / name, ids.tobytes())
        documents = [document for document, _, _ in shard]
        text_bytes = sum(len(document.encode()) for document in documents)
        state.digest = corpus_sha256([state.digest, *documents])
        state.places = shard[-1][2]
        state.shards.append({"documents": len(shard), "tokens": len(ids), "text_bytes": text_bytes})
        save(draft, plan, state)
        progress.milestone(f"prepared {name}")


def tokenized(
    tokenizer: Tokenizer, vocab_size: int, documents: Iterator[tuple[str, list[Place]]]
) -> Iterator[Tokenized]:
    """Each document with its ids and the places behind it."""
    ahead, behind = tee(documents)
    ids = encode(tokenizer, (document for document, _ in ahead), vocab_size)
    for own, (document, places) in zip(ids, behind, strict=False):
        yield document, own, places


def up_to(items: Iterator[Tokenized], tokens: int, progress: Progress) -> Iterator[Tokenized]:
    """The items up to the one with which they hold `tokens` tokens."""
    for item in items:
        yield item
        progress.add(len(item[1]))
        tokens -= len(item[1])
        if tokens <= 0:
            return


def finish(draft: Path, plan: dict[str, Any], state: State, origin: str) -> None:
    """Gives a single shard the plain name, and writes the manifests. Raises DataError if there is no shard."""
    data = draft / "data"
    if not state.shards:
        raise DataError(f"The corpus {origin} has no training text beside its validation splits; give a larger one.")
    single = data / "open" / shard_name("train", 0)
    if len(state.shards) == 1 and single.exists():
        single.rename(data / "open" / "train.bin")
    train = {name: sum(shard[name] for shard in state.shards) for name in state.shards[0]}
    about = {"format": FORMAT, "corpus_sha256": state.digest, "vocab_size": plan["vocab_size"], "corpus": origin}
    write_manifest(data / "open", about, {"train": train, "visible": state.validation["visible"]})
    write_manifest(data / "hidden", about, {"hidden": state.validation["hidden"]})
    read = sum(place.rows for place in state.places)
    print(
        f"{train['documents']:,} of {read:,} documents are trained on; the others are held out, or blank, "
        "or share a long line with one that is held out",
        file=sys.stderr,
    )
