"""A run's weights: `checkpoints/model.safetensors` beside the settings that rebuild the model.

The format is that of github.com/huggingface/safetensors: the header's length as 8 little-endian bytes, a JSON
header with the dtype, shape and byte range of each tensor, then the bytes. Names are sorted: equal weights
make equal files.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from trainer.config import Configs
from trainer.device import autocast, prepare_device
from trainer.errors import CheckpointError, ConfigError
from trainer.model import Transformer

FOLDER, WEIGHTS, CONFIGS = "checkpoints", "model.safetensors", "configs.json"


def save_checkpoint(output_dir: Path, model: Transformer, configs: Configs) -> None:
    """Writes both files below `output_dir`. Raises OSError."""
    folder = output_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(serialize(model.state_dict()))
    (folder / CONFIGS).write_text(json.dumps(asdict(configs), indent=2) + "\n", encoding="utf-8")


def load_model(folder: Path) -> Callable[[Tensor], Tensor]:
    """The trained model of an output folder: token ids [B, T] int64 -> logits [B, T, vocab_size] float32.

    It computes in the precision that the run was evaluated in. Raises CheckpointError.
    """
    try:
        configs = Configs(**json.loads((folder / FOLDER / CONFIGS).read_text(encoding="utf-8")))
        weights = deserialize((folder / FOLDER / WEIGHTS).read_bytes())
        device, configs = prepare_device(configs)
        model = Transformer(configs)
        model.load_state_dict(weights)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, ConfigError) as error:
        raise CheckpointError(
            f"{folder / FOLDER} does not hold a run's checkpoint ({error}); train it again."
        ) from error
    model.to(device).eval()

    @torch.no_grad()
    def logits(tokens: Tensor) -> Tensor:
        with autocast(device, configs):
            output: Tensor = model(tokens.to(device))
        return output.float()

    return logits


def serialize(tensors: Mapping[str, Tensor]) -> bytes:
    """float32 tensors in the safetensors format."""
    header, blobs, offset = {}, [], 0
    for name in sorted(tensors):
        blob = tensors[name].detach().float().cpu().contiguous().numpy().astype("<f4").tobytes()
        shape, span = list(tensors[name].shape), [offset, offset + len(blob)]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": span}
        blobs.append(blob)
        offset += len(blob)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)  # the format aligns the data to 8 bytes
    return len(head).to_bytes(8, "little") + head + b"".join(blobs)


def deserialize(content: bytes) -> dict[str, Tensor]:
    """The tensors that `serialize` wrote. Raises ValueError or KeyError for anything else."""
    start = 8 + int.from_bytes(content[:8], "little")
    tensors = {}
    for name, about in json.loads(content[8:start]).items():
        first, last = about["data_offsets"]
        blob = bytearray(content[start + first : start + last])
        tensors[name] = torch.frombuffer(blob, dtype=torch.float32).reshape(about["shape"])
    return tensors
