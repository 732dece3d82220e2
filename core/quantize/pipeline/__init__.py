"""Block by block to disk: the walk over a model, checkpoints, schemes, the README.

May import `linear`, `plan`, `formats` and `calibration`. Never the arithmetic of one method.
"""
