"""A quantization in progress: each linear's error or sensitivity as it arrives.

May import its capability's faces, `tui.experiment` and `tui.widgets`. Never another tab.
"""
