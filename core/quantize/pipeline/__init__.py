"""Block by block to disk: the walk over a model, the solver of each method, checkpoints, schemes, the README.

May import `linear`, `methods`, `formats` and `calibration`. Never the arithmetic of one method, and never `whole`, which a method names.
"""
