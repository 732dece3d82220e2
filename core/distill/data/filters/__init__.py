"""Filters of answers: each says of every example whether it stays.

May import numpy and the standard library. Never files, a network or a model library.
"""
