"""Memory for logits: shared, of a fixed size where the system can seal it, and gone with its descriptors."""

from __future__ import annotations

import mmap
import os
import sys

import pytest

from agents.evaluation.shared_memory import shared_memory


@pytest.mark.parametrize("platform", [sys.platform, "darwin"])
def test_what_one_maps_the_other_sees(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    memory = shared_memory(5000)
    assert os.fstat(memory).st_size == 5000
    assert os.fstat(memory).st_nlink == 0
    with mmap.mmap(memory, 5000) as one, mmap.mmap(memory, 5000, prot=mmap.PROT_READ) as other:
        one[4990:4995] = b"hello"
        assert other[4990:4995] == b"hello"
    os.close(memory)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can seal a size")
@pytest.mark.parametrize("size", [0, 9000])
def test_its_size_cannot_be_changed(size: int) -> None:
    memory = shared_memory(5000)
    with pytest.raises(PermissionError):
        os.truncate(memory, size)
    os.close(memory)
