"""Handwritten digits by a small network of scikit-learn: SEED=1 EPOCHS=12 python main.py

Settings are environment variables. It prints one line an epoch, and writes a table of them to $RESULTS_DIR.
"""

import csv
import os
import warnings
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

SEED = int(os.environ.get("SEED", "0"))
EPOCHS = int(os.environ.get("EPOCHS", "12"))
RESULTS_DIR = Path(os.environ.get("RESULTS_DIR", "results"))
LEARNING_RATE = float(os.environ.get("LEARNING_RATE", "0.001"))
ALPHA = float(os.environ.get("ALPHA", "0.0001"))
HIDDEN = int(os.environ.get("HIDDEN", "24"))
BATCH = int(os.environ.get("BATCH", "32"))

warnings.simplefilter("ignore", ConvergenceWarning)
images, digits = load_digits(return_X_y=True)
# The split is fixed: seeds differ in the initial weights and in the order of the batches.
train_x, test_x, train_y, test_y = train_test_split(images / 16.0, digits, test_size=0.4, random_state=7)
model = MLPClassifier(
    hidden_layer_sizes=(HIDDEN,),
    learning_rate_init=LEARNING_RATE,
    alpha=ALPHA,
    batch_size=BATCH,
    random_state=SEED,
    max_iter=1,
    warm_start=True,
)
RESULTS_DIR.mkdir(parents=True, exist_ok=True)
with (RESULTS_DIR / "history.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["epoch", "train_loss", "test_accuracy"])
    for epoch in range(1, EPOCHS + 1):
        model.fit(train_x, train_y)
        accuracy = model.score(test_x, test_y)
        table.writerow([epoch, model.loss_, accuracy])
        print(f"epoch {epoch}/{EPOCHS} loss {model.loss_:.4f} test accuracy {accuracy:.4f}", flush=True)
