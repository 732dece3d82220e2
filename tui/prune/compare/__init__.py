"""The result of a comparison: a table and four charts.

May import its capability's faces, `tui.compression`, `tui.experiment` and `tui.widgets`. Never another tab.
"""
