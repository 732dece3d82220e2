"""Finished distillations of a teacher: figures, curves of several runs, where a student still differs.

May import its capability's faces, `tui.compression`, `tui.experiment` and `tui.widgets`. Never another tab.
"""
