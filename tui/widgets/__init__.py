"""Widgets shared by the panes.

May import `shell` and words of `core`. Never a tab or a run in progress: a widget gets data.
"""
