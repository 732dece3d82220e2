"""llama.cpp by one of three servers: its own, that of llama-cpp-python, or that of this program over llama-cpp-python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core import engine_paths
from core.engine import Command, Engine, EngineFacts, Found, Missing, ServeSpec
from core.errors import RequestError
from engines.variants.llama_cpp_python import LlamaCppPython
from engines.variants.llama_server import COMPLAINTS, LlamaServer
from engines.variants.local import LocalServer

_FACTS = EngineFacts(
    "llama-cpp",
    "llama.cpp",
    "GGUF files on CPUs and GPUs",
    port=8080,
    formats=("gguf",),
    ignores_eos=True,
    key_env="LLAMA_API_KEY",
    tried="for real",
)


class OwnLlamaCpp(LocalServer):
    """llama-cpp-python in a server of this program, one request at a time; it scores texts."""

    facts = replace(_FACTS, name="llama-cpp/own", summary="llama-cpp-python in a server of this program, one request at a time")
    backend = "llama-cpp"
    package = "llama-cpp-python"
    extra = "pip install 'llmopt-tui[llama-cpp]', or put llama-server on the path"
    complaints = COMPLAINTS
    gauges = {name: (*LocalServer.gauges.get(name, ()), *metrics) for name, metrics in LlamaServer.gauges.items()}  # noqa: RUF012


class LlamaCpp(OwnLlamaCpp):
    """`llama-server` first, as it answers several requests at once; else llama-cpp-python in a server of this program."""

    facts = _FACTS

    def find(self) -> Found | Missing:
        """`llama-server`, else llama-cpp-python."""
        found = LlamaServer().find()
        if isinstance(found, Found):
            return found
        try:
            return super().find()
        except RequestError as error:
            raise RequestError(f"{engine_paths.variable('llama-cpp')} names a place with neither llama-server nor a Python: {error}") from error

    def command(self, spec: ServeSpec, found: Found, port: int) -> Command:
        """Of whichever was found."""
        return super().command(spec, found, port) if "engines.server" in found.program else LlamaServer().command(spec, found, port)

    def variants(self) -> Mapping[str, Engine]:
        """Each of the servers by its name."""
        return {"llama-server": LlamaServer(), "python": LlamaCppPython(), "own": OwnLlamaCpp()}
