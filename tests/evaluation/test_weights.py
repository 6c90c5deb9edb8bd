"""The header of a safetensors file: what the library writes passes, and what lies is refused in one sentence."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file

from agents.errors import LaboratoryError
from agents.evaluation.weights import count_parameters
from trainer.checkpoint import serialize

ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def file_of(
    folder: Path, header: str | bytes | dict[str, Any], data: bytes = bytes(8), length: int | None = None
) -> Path:
    """Write a safetensors file whose header may say anything."""
    head = json.dumps(header) if isinstance(header, dict) else header
    head = head.encode() if isinstance(head, str) else head
    file = folder / "model.safetensors"
    file.write_bytes((len(head) if length is None else length).to_bytes(8, "little") + head + data)
    return file


def test_the_parameters_of_what_the_library_and_the_trainer_write_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    tensors = {"a": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.float16), "none": np.zeros((0, 7), np.int64)}
    save_file(tensors, file, metadata={"format": "np"})
    assert count_parameters(file) == 17
    save_torch_file({"half": torch.zeros(2, 3, dtype=torch.bfloat16), "scalar": torch.tensor(1.0)}, file)
    assert count_parameters(file) == 7
    file.write_bytes(serialize({"weight": torch.zeros(6, 2), "gain": torch.zeros(6)}))
    assert count_parameters(file) == 18


LIES: dict[str, tuple[str | bytes | dict[str, Any], str]] = {
    "no JSON": ("{", "Expecting property name"),
    "no object": ("[]", "no JSON object"),
    "no text": (b"\xff\xff", "can't decode"),
    "deep": ("[" * 100_000, "recursion"),
    "duplicate tensor": (f'{{"a": {json.dumps(ONE)}, "a": {json.dumps(ONE)}}}', "a key comes twice"),
    "duplicate field": ('{"a": {"dtype": "F32", "shape": [9], "shape": [2], "data_offsets": [0, 8]}}', "comes twice"),
    "no tensor": ({}, "take 0 of 8 bytes"),
    "unknown dtype": ({"a": ONE | {"dtype": "O"}}, "unknown dtype 'O'"),
    "dtype of no kind": ({"a": ONE | {"dtype": ["F32"]}}, "unknown dtype"),
    "extra field": ({"a": ONE | {"code": "print()"}}, "not described by"),
    "negative": ({"a": ONE | {"shape": [-1, -2]}}, "no shape and byte range that can be"),
    "true is no number": ({"a": ONE | {"shape": [True, 2]}}, "no shape and byte range that can be"),
    "enormous": ({"a": ONE | {"shape": [2**62, 4]}}, "no shape and byte range that can be"),
    "many dimensions": ({"a": ONE | {"shape": [1] * 99}}, "no shape and byte range that can be"),
    "three offsets": ({"a": ONE | {"data_offsets": [0, 4, 8]}}, "no shape and byte range that can be"),
    "shape and bytes differ": ({"a": ONE | {"shape": [3]}}, "takes 8 bytes, not the 12"),
    "backwards": ({"a": ONE | {"data_offsets": [8, 0]}}, "takes -8 bytes"),
    "overlap": ({"a": ONE, "b": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, "to no tensor or to two"),
    "gap": ({"a": {"dtype": "U8", "shape": [1], "data_offsets": [7, 8]}}, "byte 0 of its data belongs to no tensor"),
    "rest": ({"a": {"dtype": "U8", "shape": [7], "data_offsets": [0, 7]}}, "its tensors take 7 of 8 bytes"),
    "beyond the end": ({"a": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]}}, "its tensors take 9 of 8 bytes"),
    "metadata": ({"a": ONE, "__metadata__": {"format": 1}}, "metadata are not strings"),
}


@pytest.mark.parametrize(("header", "words"), LIES.values(), ids=LIES)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: str | bytes | dict[str, Any], words: str) -> None:
    with pytest.raises(LaboratoryError, match="are no safetensors file: ") as refusal:
        count_parameters(file_of(tmp_path, header))
    assert words in str(refusal.value)


def test_a_header_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    """Neither where the file is as long as it says, which costs nothing as a sparse file, nor where it is not."""
    file = file_of(tmp_path, "{}", length=1 << 30)
    with pytest.raises(LaboratoryError, match="would take 1073741824 bytes"):
        count_parameters(file)
    with file.open("r+b") as stream:
        stream.truncate(1 << 31)
    with pytest.raises(LaboratoryError, match="would take 1073741824 bytes"):
        count_parameters(file)


def test_a_pickle_is_no_weights(tmp_path: Path) -> None:
    """And what would run when it is unpickled does not run."""

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    file = tmp_path / "model.safetensors"
    for content in (pickle.dumps({"weight": Trap()}), b"", b"\0" * 7):
        file.write_bytes(content)
        with pytest.raises(LaboratoryError, match="no safetensors file"):
            count_parameters(file)
    torch.save({"weight": Trap()}, file)
    with pytest.raises(LaboratoryError, match="no safetensors file"):
        count_parameters(file)
    assert not (tmp_path / "sprung").exists()
