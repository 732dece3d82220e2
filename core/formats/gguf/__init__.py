"""GGUF, the format of llama.cpp: written, read and predicted."""
