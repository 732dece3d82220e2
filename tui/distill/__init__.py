"""The Distill tab: teacher, student and loss, a training as it goes, and what it gained.

May import the capability's faces, `tui.compression`, `tui.experiment` and `tui.widgets`. Never another tab.
"""
