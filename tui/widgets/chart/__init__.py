"""The one chart widget: plots as frozen data, drawn off the event loop.

May import plotext, which nothing else does. Never reads a result: callers make the plot.
"""
