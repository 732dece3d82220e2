"""`llmopt ollama`: the library of an Ollama server."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

from cyclopts import App, Parameter

from core.engine import Endpoint
from core.errors import RequestError
from core.measure.units import size
from engines import ollama_library
from engines.ollama_library import PullStep
from tui.cli.printing.output import narrate, print_document, print_table

app = App(name="ollama", help="List, monitor and pull the models of an Ollama server.", help_format="plaintext")

_PORT = 11434
_EVERY = 1.0
Json = Annotated[bool, Parameter(help="Print one JSON document", negative="", show_default=False)]
Url = Annotated[str | None, Parameter(help=f"Address of the server; default: OLLAMA_HOST, else http://127.0.0.1:{_PORT}", show_default=False)]


@app.command(name="list")
def list_models(*, url: Url = None, json: Json = False) -> int:
    """List the models on the server's disk."""
    endpoint = Endpoint(address(url))
    with _hinted():
        found = ollama_library.library(endpoint)
    if json:
        print_document("ollama-library", {"url": endpoint.url, "models": [asdict(model) for model in found]})
    elif found:
        rows = [(_size(model.file_bytes), model.parameters, model.quantization, model.modified[:10], model.name) for model in found]
        print_table(rows, ("size", "parameters", "weights", "changed", "model"), right=(0, 1), shrink=())
    else:
        narrate("the server has no models: pull one with `llmopt ollama pull MODEL`")
    return 0


@app.command
def ps(*, url: Url = None, json: Json = False) -> int:
    """List the models in the server's memory."""
    endpoint = Endpoint(address(url))
    with _hinted():
        found = ollama_library.loaded(endpoint)
    if json:
        print_document("ollama-loaded", {"url": endpoint.url, "models": [asdict(model) for model in found]})
    elif found:
        rows = [
            (_size(model.memory_bytes), _size(model.gpu_bytes), "" if model.context is None else f"{model.context:,}", model.until[:19], model.name)
            for model in found
        ]
        print_table(rows, ("memory", "on GPUs", "context", "until", "model"), right=(0, 1, 2), shrink=())
    else:
        narrate("the server has no model in memory: the first request loads one")
    return 0


@app.command
def pull(
    model: Annotated[str, Parameter(help="Name in Ollama's library, for example llama3.2:1b")], /, *, url: Url = None, json: Json = False
) -> int:
    """Pull a model into the server's library; ctrl+c stops it, and the next pull resumes there."""
    endpoint = Endpoint(address(url))
    began, said, last = time.monotonic(), 0.0, ""
    with _hinted():
        for step in ollama_library.pull(endpoint, model):
            now = time.monotonic()
            if step.words != last or now - said >= _EVERY:
                narrate(progress(step))
                said, last = now, step.words
    if json:
        held = next((each for each in ollama_library.library(endpoint) if each.name in (model, f"{model}:latest")), None)
        about = {} if held is None else asdict(held)
        print_document("ollama-pull", {"url": endpoint.url, "model": model, "seconds": time.monotonic() - began} | about)
    return 0


def progress(step: PullStep) -> str:
    """A line that says how far a fetch is."""
    if step.total is None:
        return step.words
    done = step.done or 0
    share = f"{100 * done // step.total:3d} %  " if step.total else ""
    return f"{share}{step.words}: {size(done)} of {size(step.total)}"


def address(given: str | None) -> str:
    """Where the server is: as given, else by OLLAMA_HOST as Ollama's own programs read it.

    Raises:
        RequestError: it is not an address.
    """
    named = given or os.environ.get("OLLAMA_HOST", "").strip() or "127.0.0.1"
    scheme, separator, rest = named.rpartition("://")
    if separator and scheme not in ("http", "https"):
        raise RequestError(f"{named!r} is not a server address: write http://HOST:PORT")
    host, slash, path = rest.partition("/")
    if host.startswith(":"):
        host = f"127.0.0.1{host}"
    host = host.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")
    if not separator and ":" not in host.rpartition("]")[2]:
        host = f"{host}:{_PORT}"
    return f"{scheme or 'http'}://{host}{slash}{path}".rstrip("/")


@contextmanager
def _hinted() -> Iterator[None]:
    try:
        yield
    except RequestError as error:
        if not str(error).startswith("no answer from"):
            raise
        raise RequestError(f"{error}; start one with `ollama serve`, or give its address with --url") from error


def _size(value: int | None) -> str:
    return "" if value is None else size(value)
