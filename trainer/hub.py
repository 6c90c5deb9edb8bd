"""The Hugging Face hub: datasets as streams, and tokenizers.

`hf:NAME[:CONFIG]` takes the Parquet or JSONL files of a dataset's repository below the folder CONFIG; where some
are named after the split "train", those alone. They are read in ranges, so that only what is used comes over
the network. HF_ENDPOINT and HF_TOKEN are honoured by the library.
PROTECTED: what is measured depends on this module.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from trainer.errors import DataError
from trainer.stream import HUB, SUFFIXES, CorpusFile, Source, Stream

if TYPE_CHECKING:
    from huggingface_hub import HfFileSystem

PATIENCE = 10.0  # seconds that the hub has for its first answer; it is asked once


@dataclass(frozen=True)
class Mix:
    """Folders of a dataset with their shares of the text, and the tokenizer that was published with it."""

    shares: dict[str, float]
    tokenizer: str | None = None


MIXES = {
    "HuggingFaceTB/smollm-corpus": Mix(
        {"fineweb-edu-dedup": 0.7, "cosmopedia-v2": 0.3}, tokenizer="hf:HuggingFaceTB/SmolLM2-135M"
    ),
}


def hub_stream(corpus: str) -> Stream:
    """The stream of `hf:NAME[:CONFIG]`, at the newest revision; without CONFIG a known mix. Raises DataError."""
    name, _, config = corpus.removeprefix(HUB).partition(":")
    mix = MIXES[name] if name in MIXES and not config else Mix({config: 1.0})
    with hub_errors(corpus):
        from huggingface_hub import HfApi, HfFileSystem

        answer = HfApi().dataset_info(name, timeout=PATIENCE)
        hub = HfFileSystem()
    names = [sibling.rfilename for sibling in answer.siblings or ()]
    chosen = {folder: training_files(names, folder, corpus) for folder in mix.shares}
    root = f"datasets/{name}@{answer.sha}"
    sources = [
        Source([hub_file(hub, f"{root}/{path}") for path in chosen[folder]], share)
        for folder, share in mix.shares.items()
    ]
    identity = {"hub": name, "revision": answer.sha, "files": chosen, "shares": mix.shares}
    return Stream(sources, f"{corpus}@{answer.sha}", identity, mix.tokenizer)


def training_files(names: list[str], folder: str, corpus: str) -> list[str]:
    """The files below `folder` that are trained on, sorted. Raises DataError."""
    within = sorted(name for name in names if name.endswith(SUFFIXES) and name.startswith(folder and f"{folder}/"))
    if not within:
        folders = sorted({name.rpartition("/")[0] for name in names if name.endswith(SUFFIXES)})
        found = ", ".join(folders) or "none"
        raise DataError(f"{corpus} holds no Parquet or JSONL files (folders that do: {found}); name one of those.")
    return [name for name in within if "train" in name.removeprefix(folder)] or within


def hub_file(hub: "HfFileSystem", path: str) -> CorpusFile:
    """A file on the hub, read in ranges."""
    import httpx2

    remedy = "check the network and run the same command again: it goes on where it was"
    return CorpusFile(f"{HUB}{path}", lambda: cast(BinaryIO, hub.open(path)), (OSError, httpx2.HTTPError), remedy)


def hub_tokenizer(tokenizer: str) -> Path:
    """The local copy of tokenizer.json of the repository `hf:NAME`, at its newest revision. Raises DataError."""
    name = tokenizer.removeprefix(HUB)
    with hub_errors(tokenizer):
        from huggingface_hub import HfApi, hf_hub_download

        revision = HfApi().model_info(name, timeout=PATIENCE).sha
        return Path(hf_hub_download(name, "tokenizer.json", revision=revision))


@contextmanager
def hub_errors(asked: str) -> Iterator[None]:
    """Whatever goes wrong between here and the hub becomes a DataError."""
    try:
        import httpx2
        import pyarrow  # noqa: F401 - told before anything is downloaded
        from huggingface_hub.errors import HFValidationError
    except ImportError as error:
        raise DataError(
            f"{asked} needs packages that are not installed; run `pip install huggingface_hub pyarrow`, "
            "or give another --corpus, such as kjv."
        ) from error
    try:
        yield
    except (OSError, httpx2.HTTPError, HFValidationError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise DataError(
            f"The Hugging Face hub does not give {asked} ({reason}); check the name and the network, "
            "or give another --corpus, such as kjv."
        ) from error
