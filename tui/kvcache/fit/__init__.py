"""The calculator: bytes per token and what fits, by formula.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""
