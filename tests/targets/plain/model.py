"""Linear regression in plain Python: the weights, their gradient, and one step of descent."""

from random import Random

from settings import Configs

TRUTH = (1.0, -2.0, 0.5, 1.5, -1.0, 2.0, -0.5, 0.4)  # the last one is the weight of a constant input
NOISE = 0.5


def sample(random: Random) -> tuple[list[float], float]:
    """Draw one input and its noisy target."""
    inputs = [*(random.gauss(0, 1) for _ in TRUTH[1:]), 1.0]
    return inputs, sum(w * x for w, x in zip(TRUTH, inputs)) + random.gauss(0, NOISE)


def loss_of(weights: list[float], samples: list[tuple[list[float], float]]) -> float:
    """Return the mean squared error."""
    errors = [sum(w * x for w, x in zip(weights, inputs)) - target for inputs, target in samples]
    return sum(error * error for error in errors) / len(errors)


def gradient(weights: list[float], samples: list[tuple[list[float], float]]) -> list[float]:
    """Return the gradient of half the mean squared error."""
    total = [0.0] * len(weights)
    for inputs, target in samples:
        error = sum(w * x for w, x in zip(weights, inputs)) - target
        total = [t + error * x for t, x in zip(total, inputs)]
    return [t / len(samples) for t in total]


def train_step(weights: list[float], samples: list[tuple[list[float], float]], configs: Configs) -> list[float]:
    """Return the weights after one step of descent; without an intercept the constant's weight stays at zero."""
    weights = [w - configs.rate * g for w, g in zip(weights, gradient(weights, samples))]
    return weights if configs.intercept else [*weights[:-1], 0.0]
