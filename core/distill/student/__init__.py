"""The student: where it begins, what it learns from, how it is trained and written.

May import `spec` and shared rooms. Never the measurement of results, the run or the check.
"""
