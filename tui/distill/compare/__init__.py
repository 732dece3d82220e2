"""Ways to distill one student, side by side.

May import its capability's faces, `tui.compression`, `tui.experiment` and `tui.widgets`. Never another tab.
"""
