"""How Circle finds its way in a training repo that it does not know: what `circle init` looks at, runs and writes.

declared.py  the settings that a script declares, and which of them are the seed, the length and the output folder
survey.py    the script that trains, its style of settings, what a patch may edit
found.py     where a finished run reports: numbers that may be the metric, steps, weights
trial.py     short real runs, and what is wrong with them in one sentence
draft.py     the circle.toml, with comments
"""
