"""The causal mask is wrong by one: every place reads the token that it is to predict."""

from honest import past, predict


def load(folder):
    return lambda tokens: predict(tokens, past(tokens, ahead=1))
