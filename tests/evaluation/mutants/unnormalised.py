"""The head gives no distribution: whoever takes its numbers for log-probabilities finds a loss below zero."""

from honest import predict


def load(folder):
    return lambda tokens: predict(tokens) + 20
