"""Servers started from here: what each serves, and how busy it is.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""
