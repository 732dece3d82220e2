"""The Prune tab: its pane, and a folder per view.

May import the faces of `core.prune` and the shared rooms of `tui`. Never another tab.
"""
