"""The process that carries a run out, and the supervisor that reports how it ended.

May import `core.runs`. Never imported by a screen: it may load torch and takes over signals.
"""
