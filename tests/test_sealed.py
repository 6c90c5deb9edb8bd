"""Small files that are whole, and whose change is seen."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from agents.sealed import SealBroken, read_sealed, write_sealed


def test_what_was_written_is_read(tmp_path: Path) -> None:
    body = {"mean": 4.94, "runs": [1, None, True, "é"]}
    write_sealed(tmp_path / "floor.json", body)
    assert read_sealed(tmp_path / "floor.json") == body
    assert [file.name for file in tmp_path.iterdir()] == ["floor.json"]


def test_every_changed_byte_is_seen(tmp_path: Path) -> None:
    """But for blanks between the parts, which say nothing."""
    file = tmp_path / "floor.json"
    write_sealed(file, {"mean": 4.94})
    content = file.read_bytes()
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with contextlib.suppress(SealBroken):
            assert read_sealed(file) == {"mean": 4.94} and content[place : place + 1].isspace()


@pytest.mark.parametrize("text", ["", "[]", "{}", "7", json.dumps({"sha256": "0", "body": 1}), "{" * 100])
def test_what_is_no_sealed_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "floor.json").write_text(text)
    with pytest.raises(SealBroken):
        read_sealed(tmp_path / "floor.json")
