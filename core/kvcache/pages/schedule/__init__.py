"""Continuous against static batching, simulated by a roofline.

May import the faces of `pages` and `core.hardware`. Never runs a model: every figure is a simulation.
"""
