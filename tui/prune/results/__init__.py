"""Finished prunings of a model: figures, importance, errors, redundancy of blocks.

May import its capability's faces, `tui.compression`, `tui.experiment` and `tui.widgets`. Never another tab.
"""
