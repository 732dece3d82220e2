"""Measured comparisons: each module prints its figures against their bars; `python -m tests.benchmarks NAME` runs one, without a name all."""
