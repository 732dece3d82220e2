"""The run directory: spec.json, state.json, events.jsonl, result.json, and how they are read while they grow.

Imports the ground floor only. Never a second truth: no database, no cache that outlives the process.
"""
