"""Finished quantizations: figures, layers, files, verification, history.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""
