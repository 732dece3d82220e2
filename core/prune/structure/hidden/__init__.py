"""Hidden width: columns of the hidden state go from every tensor of the model.

May import `inputs`, `plan`, `pipeline.writer` and shared rooms. Never `depth`.
"""
