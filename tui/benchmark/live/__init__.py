"""A load in progress: charts, figures, pause and stop.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""
