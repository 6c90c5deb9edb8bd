"""The trusted evaluation of a run: `python evaluate.py --run DIR --split visible|hidden`."""

import argparse
import json
from pathlib import Path
from random import Random

from model import loss_of, sample

parser = argparse.ArgumentParser()
parser.add_argument("--run", type=Path)
parser.add_argument("--split")
arguments = parser.parse_args()
random = Random(arguments.split)
samples = [sample(random) for _ in range(400)]
weights = json.loads((arguments.run / "weights.json").read_text())
print(json.dumps({"value": loss_of(weights, samples)}))
