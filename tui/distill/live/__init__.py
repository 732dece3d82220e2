"""A distillation as it goes: gap closed, curves, and the tokens on which the student still differs.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""
