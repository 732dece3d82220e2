"""The KV-cache tab: its pane, and a folder per view.

May import the faces of `core.kvcache` and the shared rooms of `tui`. Never another tab.
"""
