"""Tables with a cursor that stay right while rows change.

Imports textual. Never the meaning of a row.
"""
