"""Finished speculative runs: settings, figures, charts.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""
