"""Optimizers and schedules: each a pure function first, a thin class second."""
