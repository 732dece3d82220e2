"""What computes the answers of the server, one backend per file.

May import `core.runtime`, `core.formats` and transformers. Never HTTP.
"""
