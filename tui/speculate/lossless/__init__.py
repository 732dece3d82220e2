"""The test of losslessness: its start, its verdict.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""
