"""Write shards tensor by tensor; nothing appears under its final name before it is complete.

May import `core.models`. Never a format: what the tensors mean belongs in `layouts`.
"""
