"""Cache schemes compared: live rows, table, charts, fronts.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""
