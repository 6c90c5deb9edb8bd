"""The trusted evaluator: scores a run's model with targets that no generated code ever holds.

`python -m agents.evaluation` is the scorer. It keeps the tokens, starts `server.py` in a sandbox with the
run's tree, asks it for logits, and computes the loss itself. The two talk through one socket, in blocks
whose sizes the scorer alone decides. Only `server.py` imports torch, so the scorer never imports it.
"""
