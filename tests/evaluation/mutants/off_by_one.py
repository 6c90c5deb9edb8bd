"""Trained on targets that are off by one: it predicts the token that it was given."""

from honest import hot


def load(folder):
    return lambda tokens: 9 * hot(tokens)
