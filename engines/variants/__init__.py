"""Ways to start one engine: llama-server, llama-cpp-python, our server, transformers serve.

May import `common` and `core`. Never the choice between them: the engine makes it.
"""
