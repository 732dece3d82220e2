"""What makes a model smaller: slices of its tensors, what makes up for them, and the writer of each method.

May import `plan`, `pipeline.writer` and shared rooms. Never a mask's method, a run or a check.
"""
