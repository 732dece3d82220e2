"""Conversations as rows of tokens, with a mask of what a student learns from.

May import torch, `core.training` and the examples of `core.distill.data`. Never a teacher or a network.
"""
