"""Write shards tensor by tensor; nothing appears under its final name before it is complete.

May import `core.models.disk`. Never a format: what the tensors mean belongs in `layouts`.
"""
