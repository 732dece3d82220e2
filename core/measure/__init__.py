"""Statistics for measured figures: percentiles with a sample rule, intervals, significance, threshold expressions; memory and cores of a process.

Imports numpy, psutil, the standard library, errors and sanitize. Never a metric or a run: what can be named, and in which units, is passed in.
"""
