"""Session files that were cut, flipped, blanked or deleted: does the session end rightly, or say what is lost?

    python -m benchmarks.damage [--mutations N] [--workers N]

The session of benchmarks.crashes, as it waits for its last approval, as it was killed among its confirming runs, and at
its end. In each mutation one of its files is damaged by chance, and the session resumed as a person would. It must end
as the undisturbed one, or stop with a sentence; anything else is silently wrong.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.crashes import Crashes, World, differences

KINDS = ("flipped", "cut", "blanked", "deleted")
_KILLED_AT = ("run recorded #20", "checkpoint saved #3", "step effect #2")
_BLANK = 512


@dataclass(frozen=True)
class Damaged:
    """What was damaged and how, and what came of it: `same`, `told` with the sentence, or `wrong` with what differs."""

    file: str
    kind: str
    outcome: str
    words: str


def damage(world: World, chance: random.Random) -> tuple[str, str]:
    """Damage one file of the session; return which, and how."""
    folder = world.target / ".circle" / "sessions" / world.session
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.stat().st_size)
    databases = [file for file in files if ".sqlite" in file.name or file.suffix in (".json", ".tip")]
    file, kind = chance.choice(chance.choice([files, databases])), chance.choice(KINDS)
    content = bytearray(file.read_bytes())
    place = chance.randrange(len(content))
    if kind == "flipped":
        content[place] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del content[place:]
    else:
        content[place : place + _BLANK] = bytes(len(content[place : place + _BLANK]))
    file.unlink() if kind == "deleted" else file.write_bytes(content)
    return str(file.relative_to(folder)), kind


def tried(crashes: Crashes, worlds: list[World], scratch: Path, seed: int) -> Damaged:
    """Damage a copy of one of the worlds, and see what becomes of it."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as folder:
        world = worlds[seed % len(worlds)].copied(Path(folder) / "world")
        file, kind = damage(world, chance)
        if not world.session:
            return Damaged(file, kind, "told", "there is no such session any more")
        done = world.finish()
        told = done.returncode == 1 and "Traceback" not in done.stderr and done.stderr.count("\n") < 40
        if told:
            return Damaged(file, kind, "told", done.stderr.strip().splitlines()[-1])
        found = list(differences(crashes.undisturbed, world.end()))
        return Damaged(file, kind, "wrong" if found else "same", "; ".join(found))


def worlds_of(crashes: Crashes, scratch: Path) -> list[World]:
    """The sessions that are damaged: waiting, killed at three moments, and at its end."""
    last = len(crashes.worlds) - 1
    killed = []
    for number, point in enumerate(_KILLED_AT):
        world = crashes.worlds[last].copied(scratch / f"killed-{number}")
        world.circle(*world.command(last), CIRCLE_CRASH_AT=point)
        killed.append(world)
    return [crashes.worlds[last], *killed, World(scratch / "undisturbed")]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Session files that were damaged by chance.")
    parser.add_argument("--mutations", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    told = parser.parse_args()
    import agents.graph  # loaded before anything is forked
    import agents.laboratory.local  # noqa: F401

    with tempfile.TemporaryDirectory() as scratch:
        crashes = Crashes(Path(scratch))
        worlds = worlds_of(crashes, Path(scratch))
        outcomes = Counter[tuple[str, str]]()
        with ProcessPoolExecutor(told.workers, multiprocessing.get_context("fork")) as pool:
            for found in pool.map(partial(tried, crashes, worlds, Path(scratch)), range(told.mutations)):
                outcomes[found.kind, found.outcome] += 1
                print(f"{found.outcome:<6} {found.file} {found.kind}: {found.words[:300]}", flush=True)
        print(f"{told.mutations} mutations    " + "".join(f"{outcome:>8}" for outcome in ("same", "told", "wrong")))
        for kind in KINDS:
            print(f"  {kind:<14}" + "".join(f"{outcomes[kind, outcome]:>8}" for outcome in ("same", "told", "wrong")))


if __name__ == "__main__":
    main()
