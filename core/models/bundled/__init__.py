"""The two models shipped with the package, and the script that reproduces them.

Only `train` may import `core.training`. Never weights that the script cannot make again.
"""
