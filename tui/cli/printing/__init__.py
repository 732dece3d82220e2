"""Typed results as aligned tables, and JSON documents.

May import results of `core`. Never computes: a figure that is missing is a dash.
"""
