"""GGUF, the format of llama.cpp: block types, tensor names per family, tokenizers.

May import `models` and `numerics`. Never a quantization method: which level to choose belongs in `core.quantize`.
"""
