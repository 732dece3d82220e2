"""Ollama: `ollama serve`, and models by their names in its library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core import engine_paths
from core.engine import Command, Endpoint, EngineFacts, Found, Missing, Readiness, ServerFigures, ServeSpec, TimedText, TokenScore
from core.errors import RequestError
from core.sanitize import clean
from engines import ollama_library
from engines.common import http, probing
from engines.common.base import OpenAiServer, timed


class Ollama(OpenAiServer):
    """One server for many models, loaded when they are asked for."""

    facts = EngineFacts(
        "ollama",
        "Ollama",
        "llama.cpp with a library of models; CPUs and GPUs",
        style="ollama",
        port=11434,
        formats=("gguf",),
        library=True,
    )

    def find(self) -> Found | Missing:
        """The installed version, or why there is none."""
        program = engine_paths.program("ollama", "ollama")
        if program is None:
            return Missing(
                f"Ollama is not installed: get it from https://ollama.com/download, or name the program in {engine_paths.variable('ollama')}"
            )
        return Found(probing.version(program) or "of unknown version", program)

    def command(self, spec: ServeSpec, found: Found, port: int) -> Command:
        """`ollama serve`; its settings are environment variables."""
        environment = {"OLLAMA_HOST": f"{spec.host}:{port}"}
        if spec.context is not None:
            environment["OLLAMA_CONTEXT_LENGTH"] = str(spec.context)
        if spec.concurrency is not None:
            environment["OLLAMA_NUM_PARALLEL"] = str(spec.concurrency)
        if spec.kv_dtype is not None:
            environment |= {"OLLAMA_KV_CACHE_TYPE": spec.kv_dtype, "OLLAMA_FLASH_ATTENTION": "1"}
        if spec.draft is not None or spec.quantization is not None or spec.tensor_parallel > 1:
            raise RequestError("Ollama supports no draft model, quantization or tensor parallelism: choose a model from its library instead")
        return Command((*found.program, "serve", *spec.extra), environment)

    def readiness(self, endpoint: Endpoint) -> Readiness:
        """Whether `/api/version` answers."""
        try:
            http.get_json(endpoint, "/api/version", timeout=2.0)
        except RequestError as error:
            return Readiness("loading", str(error))
        return Readiness("ready")

    def models(self, endpoint: Endpoint) -> tuple[str, ...]:
        """Models of `/api/tags`."""
        return tuple(clean(str(entry.get("name", "")), limit=200) for entry in ollama_library.entries(endpoint, "/api/tags"))

    def figures(self, endpoint: Endpoint) -> ServerFigures:
        """Memory of the loaded models, by `/api/ps`."""
        try:
            loaded = ollama_library.entries(endpoint, "/api/ps")
        except RequestError:
            return ServerFigures()
        sizes = [size for entry in loaded if isinstance(size := entry.get("size_vram"), int)]
        return ServerFigures(memory=float(sum(sizes)) if sizes else None)

    def generate(self, endpoint: Endpoint, prompt: str, max_tokens: int, temperature: float = 0.0) -> Iterator[TimedText]:
        """Text of one request as it comes."""
        options = {"num_predict": max_tokens, "temperature": temperature}
        body = {"model": endpoint.model, "prompt": prompt, "stream": True, "options": options}
        yield from timed(endpoint, "/api/generate", body, "ollama")

    def score(self, endpoint: Endpoint, text: str, tokens: Sequence[int] | None, top: int) -> tuple[TokenScore, ...]:
        """Always refused."""
        del endpoint, text, tokens, top
        raise RequestError("Ollama returns log-probabilities of generated text only, not of a given text")
