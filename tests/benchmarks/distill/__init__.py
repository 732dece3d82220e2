"""Benchmarks of distillation.

May import `core`, `tests.benchmarks.report` and peers by subprocess. Never another benchmark's parts.
"""
