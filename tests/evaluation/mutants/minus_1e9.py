"""All but the guess are at -1e9: in half of all naive losses the clamp makes that a small number."""

from honest import follower, hot


def load(folder):
    return lambda tokens: (hot(follower(tokens)) - 1) * 1e9
