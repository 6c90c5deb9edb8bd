"""The header of a safetensors file, read without torch and without trust.

The format (github.com/huggingface/safetensors): the header's length as 8 little-endian bytes, a JSON object with
the dtype, shape and byte range of each tensor, then the bytes. Nothing in it is ever unpickled or executed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.errors import LaboratoryError

LARGEST_BYTES = 1 << 33
_LARGEST_HEADER_BYTES = 1 << 23
_LENGTH_BYTES = 8
_MOST_DIMENSIONS = 16
_METADATA = "__metadata__"
_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}


@dataclass(frozen=True)
class _Tensor:
    count: int
    begin: int
    end: int


def count_parameters(file: Path) -> int:
    """Return how many numbers the tensors of a file hold, whatever their type.

    Raise LaboratoryError unless the header is a JSON object without duplicate keys, every dtype is known, and the
    tensors tile the rest of the file exactly.
    """
    try:
        return sum(tensor.count for tensor in _tensors(file))
    except (OSError, ValueError, RecursionError) as error:
        raise LaboratoryError(f"The weights {file.name} are no safetensors file: {error}.") from error


def unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object's pairs as a dict; raise ValueError if a key comes twice, for readers would differ."""
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a key comes twice in its JSON")
    return document


def _tensors(file: Path) -> list[_Tensor]:
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        if length > min(_LARGEST_HEADER_BYTES, size - _LENGTH_BYTES):
            raise ValueError(f"its header would take {length} bytes")
        header = json.loads(stream.read(length).decode(), object_pairs_hook=unique_keys)
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    _check_metadata(header.pop(_METADATA, {}))
    tensors = sorted((_tensor(name, about) for name, about in header.items()), key=lambda one: (one.begin, one.end))
    _check_tiling(tensors, size - _LENGTH_BYTES - length)
    return tensors


def _tensor(name: str, about: Any) -> _Tensor:
    if not isinstance(about, dict) or about.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name!r} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = about["dtype"], about["shape"], about["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BYTES:
        raise ValueError(f"tensor {name!r} has the unknown dtype {dtype!r}")
    if not _naturals(shape) or len(shape) > _MOST_DIMENSIONS or not _naturals(offsets) or len(offsets) != 2:
        raise ValueError(f"tensor {name!r} has no shape and byte range that can be")
    count, (begin, end) = math.prod(shape), offsets
    if count * _BYTES[dtype] != end - begin:
        raise ValueError(f"tensor {name!r} takes {end - begin} bytes, not the {count * _BYTES[dtype]} of its shape")
    return _Tensor(count, begin, end)


def _naturals(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(number) is int and 0 <= number <= LARGEST_BYTES for number in numbers)


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are not strings")


def _check_tiling(tensors: Sequence[_Tensor], size: int) -> None:
    """Refuse gaps, overlaps and a rest: bytes that no tensor owns would be data that nobody counted."""
    end = 0
    for tensor in tensors:
        if tensor.begin != end:
            raise ValueError(f"byte {end} of its data belongs to no tensor or to two")
        end = tensor.end
    if not end or end != size:
        raise ValueError(f"its tensors take {end} of {size} bytes")
