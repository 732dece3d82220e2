"""The forms of the three cache experiments, and what each will take.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""
