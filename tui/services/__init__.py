"""What panes use instead of globals: hardware readings, runs, models, settings, the time.

May import `core`. Never a widget. Tests put fakes in its place.
"""
