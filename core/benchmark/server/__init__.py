"""The server under load: found or started, watched, its memory and energy.

May import `core.engine`, `core.hardware` and `core.models`. Never one engine by name.
"""
