"""The speed-up predicted from acceptance and cost alone.

Imports the ground floor. Never a model or a measurement: those go in as numbers.
"""
