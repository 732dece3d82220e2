"""An OpenAI-compatible server over models that this program runs itself: `python -m engines.server --help`.

May import `core`. Only `__main__` chooses a backend; the rest never imports a model library.
"""
