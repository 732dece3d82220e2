"""Channels and heads: inputs of one linear of each block go, together with what makes them, and the linear makes up for them.

May import `plan`, `pipeline.writer` and shared rooms. Never `depth` or `hidden`.
"""
