"""One logit is plus infinity: the guess is certain."""

import torch
from honest import follower, hot, predict


def load(folder):
    return lambda tokens: predict(tokens).masked_fill(hot(follower(tokens)).bool(), torch.inf)
