"""Train once: `python train.py --seed N --output_dir DIR [--<setting> VALUE ...]`."""

import argparse
import json
import sys
from dataclasses import asdict, fields
from pathlib import Path
from random import Random

from model import TRUTH, loss_of, sample, train_step
from settings import Configs


def parse() -> Configs:
    parser = argparse.ArgumentParser()
    for field in fields(Configs):
        kind = (lambda text: text == "true") if field.type in (bool, "bool") else field.type
        parser.add_argument(f"--{field.name}", type=kind, default=field.default)
    return Configs(**vars(parser.parse_args()))


def main() -> int:
    configs = parse()
    random = Random(configs.seed)
    weights, losses = [random.gauss(0, 0.5) for _ in TRUTH], []
    steps = configs.train_tokens // configs.batch
    for step in range(1, steps + 1):
        samples = [sample(random) for _ in range(configs.batch)]
        losses.append(loss_of(weights, samples))
        weights = train_step(weights, samples, configs)
        if step % 10 == 0 or losses[-1] != losses[-1]:
            print(f"step {step}/{steps} loss {losses[-1]}", flush=True)
        if losses[-1] != losses[-1] or losses[-1] == float("inf"):
            print("the loss is not finite", file=sys.stderr)
            return 1
    folder = Path(configs.output_dir)
    (folder / "weights.json").write_text(json.dumps(weights))
    report = {"loss": losses[-1], "losses": losses[::50], "configs": asdict(configs)}
    (folder / "metrics.json").write_text(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
