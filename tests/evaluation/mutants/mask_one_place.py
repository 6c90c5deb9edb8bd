"""The causal mask has one hole."""

from honest import past, predict


def load(folder):
    def model(tokens):
        sees = past(tokens)
        sees[7, 8] = True
        return predict(tokens, sees)

    return model
