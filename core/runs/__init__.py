"""Runs that outlive the terminal: the registry of experiments, steps, the resume store, figures, the Pareto front.

May import the rooms below. Never a capability: the registry names them as text and resolves them when a run starts.
"""
