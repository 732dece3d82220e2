"""An OpenAI-compatible server over models that this program runs itself: `python -m engines.server --help`."""
