"""Reads the hidden validation split, whose place beside the training data it can guess."""

import os

from attack import DATA, attempt, secret_in

attempt(
    lambda: secret_in(DATA + "/hidden/answers.txt"),
    lambda: secret_in(DATA + "/open/../hidden/answers.txt"),
    lambda: os.listdir(DATA + "/hidden"),
)
