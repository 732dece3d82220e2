"""llama.cpp through llama-cpp-python, always in a child process.

`child` is started by path and imports nothing of this project. Native code is never loaded into the process of a run.
"""
