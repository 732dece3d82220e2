"""Methods that own the model: mixed precision, quantization-aware training, GGUF.

May import `linear`, `pipeline`, `training` and `evaluate`. Never what one weight needs: that belongs in `linear`.
"""
