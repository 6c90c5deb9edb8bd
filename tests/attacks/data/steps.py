"""Prints steps whose numbers are too large to be reckoned with, and losses that are none.

Ends: nothing
"""

from attack import attempt, finish

for step in ("1" + "0" * 400, "9" * 5000, "-1", "٣", "1" + "0" * 14):
    print(f"step {step}/2 loss 1.0")
    print(f"step {step}0/2 loss 1e9999999")
print("step 1/2 loss \ud800".encode("utf-8", "surrogatepass"))
print("step 20/40 loss 1.0")
attempt(lambda: None)
finish()
