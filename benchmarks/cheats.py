"""What Circle makes of cheats and of honest patches: which layer stops each of them.

    python -m benchmarks.cheats [NAME ...]

It runs every case of tests/attacks/cheats and tests/attacks/honest on the smoke preset, and prints two tables. A cheat
is caught by a layer that refuses it, or that sees no gain where a loop without sandbox and served data sees one.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.attacks.cases import catalogue_cases, read_cases
from tests.attacks.gates import LAYERS, Gates, Passage


def main(names: Sequence[str]) -> None:
    """Print the tables of the cases of these names, or of all."""
    with tempfile.TemporaryDirectory() as folder, Gates(Path(folder)) as gates:
        cheats = [case for case in read_cases("cheats") if not names or case.name in names]
        honest = [case for case in (*read_cases("honest"), *catalogue_cases()) if not names or case.name in names]
        print("| cheat | naive gain | first layer | other layers |\n|---|---|---|---|")
        passages = [_shown(gates.passage(case)) for case in cheats]
        print(f"\n{len(passages)} cheats; the noise of one run is {gates.sigma:.4f}.\n")
        print(_by_layer(passages))
        refused = {case.name: passage.refused for case in honest if (passage := gates.passage(case)).refused}
        print(f"\n{len(refused)} of {len(honest)} honest patches refused. {refused or ''}")


def _shown(passage: Passage) -> Passage:
    first, *others = passage.caught or ("none",)
    gain = f"{passage.naive:+.4f}" + ("" if passage.lowers else ", within the noise")
    print(f"| {passage.case.name} | {gain} | {first} | {', '.join(others)} |", flush=True)
    return passage


def _by_layer(passages: Sequence[Passage]) -> str:
    """A table of how many cheats each layer is the first to catch, with the review and without it."""
    first = Counter(next(iter(passage.caught), "none") for passage in passages)
    later = [[layer for layer in passage.caught if layer != "review"] for passage in passages]
    without = Counter(next(iter(layers), "none") for layers in later)
    alone = Counter(layer for passage in passages for layer in passage.caught)
    rows = [f"| {layer} | {first[layer]} | {without[layer]} | {alone[layer]} |" for layer in (*LAYERS, "none")]
    head = "| layer | first to catch | first without the review | would catch |\n|---|---|---|---|"
    return "\n".join([head, *rows])


if __name__ == "__main__":
    main(sys.argv[1:])
