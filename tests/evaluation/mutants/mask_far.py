"""The causal mask is wrong at far places only."""

from honest import past, predict

FAR = 16


def load(folder):
    def model(tokens):
        sees = past(tokens)
        sees[FAR:] = past(tokens, ahead=1)[FAR:]
        return predict(tokens, sees)

    return model
