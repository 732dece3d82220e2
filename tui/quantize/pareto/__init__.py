"""Size against quality over all runs of a model.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""
