"""Real implementations: everything that computes, measures, reads or writes.

Rooms import rooms on lower floors only (`ARCHITECTURE.md`); a capability never imports another one. Never a screen, never `engines`: an engine is
looked up by name through `core.engine`.
"""

__version__ = "0.1.0"
