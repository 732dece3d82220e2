"""The Quantize tab: its pane, and a folder per view.

May import the faces of `core.quantize` and the shared rooms of `tui`. Never another tab.
"""
