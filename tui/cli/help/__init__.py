"""What appears below the options of a command: files, expressions, one example per method.

May import data of `core`. Never a worker or a screen.
"""
