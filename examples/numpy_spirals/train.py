"""A two-layer network in numpy that tells two spirals apart: python train.py --seed 0 --steps 400 --out run."""

import argparse
import json
from pathlib import Path

import numpy as np


def spirals(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw n points of two noisy spirals, and which of the two each is of."""
    label = rng.integers(0, 2, n)
    turn = rng.uniform(0.3, 1.0, n)
    angle = 4 * np.pi * turn + np.pi * label
    points = np.stack([turn * np.cos(angle), turn * np.sin(angle)], axis=1)
    return points + 0.02 * rng.standard_normal(points.shape), label


def features(points: np.ndarray) -> np.ndarray:
    """The coordinates, and their waves of two lengths."""
    return np.concatenate([points, *(wave(k * points) for k in (4.0, 8.0) for wave in (np.sin, np.cos))], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=400, help="steps of gradient descent")
    parser.add_argument("--out", type=Path, default=Path("out"), help="where metrics and weights go")
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--momentum", type=float, default=0.5)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--log-interval", type=int, default=50)
    args = parser.parse_args()

    rng = np.random.default_rng(args.seed)
    held_out, truth = spirals(np.random.default_rng(12345), 2000)
    inputs = features(held_out).shape[1]
    weights = [rng.standard_normal((inputs, args.width)) / np.sqrt(inputs), rng.standard_normal((args.width, 1)) * 0.1]
    speed = [np.zeros_like(w) for w in weights]
    losses = []
    for step in range(1, args.steps + 1):
        points, label = spirals(rng, args.batch_size)
        x = features(points)
        hidden = np.tanh(x @ weights[0])
        p = 1 / (1 + np.exp(-(hidden @ weights[1])[:, 0]))
        error = ((p - label) / len(label))[:, None]
        back = error @ weights[1].T * (1 - hidden**2)
        for w, v, gradient in zip(weights, speed, (x.T @ back, hidden.T @ error), strict=True):
            v *= args.momentum
            v -= args.learning_rate * gradient
            w += v
        if step % args.log_interval == 0 or step == args.steps:
            p_held_out = 1 / (1 + np.exp(-(np.tanh(features(held_out) @ weights[0]) @ weights[1])[:, 0]))
            loss = -np.mean(np.log(np.where(truth == 1, p_held_out, 1 - p_held_out) + 1e-12))
            losses.append(float(loss))
            print(f"step {step}/{args.steps} loss {loss:.6f}", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    np.savez(args.out / "weights.npz", *weights)
    report = {"val_loss": losses[-1], "val_losses": losses, "config": {k: str(v) for k, v in vars(args).items()}}
    (args.out / "metrics.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main()
