"""The noise of the real trainer: same-against-same runs, what rules make of them, and what would make them quieter."""
