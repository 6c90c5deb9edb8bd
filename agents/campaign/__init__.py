"""A session that stacks: a queue of ideas, one error budget for the night, each win the next baseline."""
