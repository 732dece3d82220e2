"""What this machine multiplies and moves, measured now or earlier.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""
