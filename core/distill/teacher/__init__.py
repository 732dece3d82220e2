"""Teachers that need not be there while a student trains: their predictions are kept on disk and shared by all students.

May import `core.training`, `core.models` and shared rooms. Never the run, the check or the student's life cycle.
"""
