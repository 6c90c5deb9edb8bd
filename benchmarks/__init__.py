"""One script for each published figure: `python -m benchmarks.NAME`."""
