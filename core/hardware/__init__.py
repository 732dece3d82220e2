"""The machine: what it is doing (snapshots), what fits on it (estimates), what to do with it (advice).

May import `models` and `formats` for sizes. Never a run, and never a figure that was neither measured nor marked as an estimate.
"""
