"""Any server that speaks OpenAI's protocol, by its address."""

from __future__ import annotations

from collections.abc import Mapping

from core.engine import Endpoint, EngineFacts, ServerFigures
from core.errors import RequestError
from engines.common import http
from engines.common.base import OpenAiServer, read_metrics
from engines.llama_cpp import OwnLlamaCpp
from engines.sglang import Sglang
from engines.vllm import Vllm


class OpenAi(OpenAiServer):
    """Asks for `/v1/models` and the completions themselves, and once whether there are metrics of a server that is known."""

    facts = EngineFacts(
        "openai",
        "OpenAI-compatible server",
        "Any server with an OpenAI-compatible API; give its address",
        starts=False,
        port=8000,
        tried="for real",
    )
    health = None

    def __init__(self) -> None:
        self._without_metrics: set[str] = set()

    def figures(self, endpoint: Endpoint) -> ServerFigures:
        """What vLLM, SGLang, llama.cpp or this program's own server say; a server that once had nothing of it is not asked again."""
        if endpoint.url in self._without_metrics:
            return ServerFigures()
        try:
            text = http.get(endpoint, "/metrics", timeout=2.0).decode(errors="replace")
        except RequestError:
            text = ""
        found = ServerFigures(**read_metrics(text, _GAUGES, self.shares))
        if found == ServerFigures():
            self._without_metrics.add(endpoint.url)
        return found


_KNOWN = (Vllm, Sglang, OwnLlamaCpp)
_GAUGES: Mapping[str, tuple[str, ...]] = {
    name: tuple(dict.fromkeys(metric for engine in _KNOWN for metric in engine.gauges.get(name, ())))
    for name in dict.fromkeys(name for engine in _KNOWN for name in engine.gauges)
}
"""Field of ServerFigures to the names of the metrics of every engine: no two engines use the same name."""
