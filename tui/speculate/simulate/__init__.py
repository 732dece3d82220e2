"""The simulator: acceptance and costs in, speed-up out.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""
