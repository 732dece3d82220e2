"""Statistics for measured figures: percentiles with a sample rule, intervals, significance.

Imports numpy and the standard library. Never a metric, a unit or a run: those belong to the capability that measures.
"""
