"""The machine: what it is doing (snapshots), what fits on it (estimates), what to do with it (advice)."""
