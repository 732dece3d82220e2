"""A pruning in progress: the map of its linears as they are finished.

May import its capability's faces, `tui.compression`, `tui.experiment` and `tui.widgets`. Never another tab.
"""
