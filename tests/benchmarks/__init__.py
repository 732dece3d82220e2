"""Measured comparisons: each module prints its figures against their bars; `python -m tests.benchmarks` runs them all."""
