"""The form of a distillation and the check beneath it.

May import its capability's faces and check, `tui.experiment` and `tui.widgets`. Never another tab.
"""
