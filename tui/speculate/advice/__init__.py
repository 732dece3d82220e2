"""The commands that enable the same speculation in serving engines.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""
