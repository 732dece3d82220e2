"""Files of a model read with bounds: JSON, safetensors and GGUF headers, single tensors.

May import the ground floor. Never trusts a length, an offset or a name before it was checked; never knows an architecture.
"""
