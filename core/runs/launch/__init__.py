"""Admit, start, pause, resume and stop a run.

May import `core.runs` and `state`. Never the worker's code, which runs in a process of its own.
"""
