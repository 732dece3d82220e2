"""Block by block to disk: the walk over a model, what was written, the README, the measurement of speed.

May import `plan`, `weights` and the faces. Never a run or a check.
"""
