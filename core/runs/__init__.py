"""Runs that outlive the terminal: the registry of experiments, resuming, figures.

May import the rooms below. Never a capability: the registry names them as text and resolves them when a run starts.
"""
