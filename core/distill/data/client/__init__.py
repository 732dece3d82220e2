"""Requests to a teacher: one request and its reply, the ways to send it, many in flight with retries.

May import the shared rooms up to `core.engine_access`. Never a file of answers, never a model library.
"""
