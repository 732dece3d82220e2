"""Engines that run models elsewhere, spoken to through `core.engine.Engine`."""
