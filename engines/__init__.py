"""Engines that run models elsewhere, spoken to through `core.engine.Engine`.

One engine per file. May import `core` and `common`. Never `tui`, and never the engine's own package: it lives in its own process.
"""
