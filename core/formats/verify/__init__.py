"""Look at every tensor of a checkpoint, ours or anybody's, and report what is wrong.

May import `core.formats` and `core.models`. Never repairs: what is wrong is reported.
"""
