"""Layers: how much each block matters, and a model without some of them.

May import `plan`, `pipeline.writer` and shared rooms. Never `inputs` or `hidden`.
"""
