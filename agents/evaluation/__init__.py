"""The trusted evaluator: scores a run's model with targets that no generated code ever holds.

`python -m agents.evaluation` is the scorer. It keeps the tokens, copies and checks the weights and settings that the
run hands over, starts `server.py` in a sandbox with those copies and the run's tree, asks it for logits, and computes
the loss itself. Token ids go through a socket and logits come back in shared memory, in blocks whose sizes the scorer
alone decides. Only `server.py` imports torch, so the scorer never imports it.
"""
