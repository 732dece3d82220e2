"""Text Generation Inference: upstream only maintains it since December 2025, so this program attaches to a server and starts none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.engine import Endpoint, EngineFacts, Missing, TimedText, TokenScore
from core.errors import RequestError
from core.sanitize import clean
from engines import http, scoring
from engines.base import OpenAiServer, timed


class Tgi(OpenAiServer):
    """Speaks its own `/generate_stream`, and says what it serves at `/info`."""

    facts = EngineFacts(
        "tgi",
        "TGI",
        "Hugging Face's server, in maintenance mode upstream; attach to one that runs",
        style="tgi",
        starts=False,
        port=3000,
        formats=("plain", "gptq", "awq", "bitsandbytes", "fp8"),
    )
    gauges = {"running": ("tgi_batch_current_size",), "waiting": ("tgi_queue_size",), "generated": ("tgi_request_generated_tokens_sum",)}  # noqa: RUF012

    def find(self) -> Missing:
        """Not started from here: how it is started."""
        return Missing(
            "TGI is in maintenance mode upstream and is not started by this program: start it with `docker run --gpus all --shm-size 1g -p 3000:80 "
            "-v FOLDER:/data ghcr.io/huggingface/text-generation-inference --model-id MODEL`, then give its address"
        )

    def models(self, endpoint: Endpoint) -> tuple[str, ...]:
        """The one model of `/info`."""
        info = http.get_json(endpoint, "/info")
        name = info.get("model_id") if isinstance(info, dict) else None
        if not isinstance(name, str):
            raise RequestError(f"{clean(endpoint.url)} does not say which model it serves at /info: is it a server of TGI?")
        return (clean(name, limit=200),)

    def generate(self, endpoint: Endpoint, prompt: str, max_tokens: int, temperature: float = 0.0) -> Iterator[TimedText]:
        """Text of one request as it comes."""
        sampled = {"do_sample": True, "temperature": temperature} if temperature > 0 else {}
        body = {"inputs": prompt, "parameters": {"max_new_tokens": max_tokens, "details": True, **sampled}}
        yield from timed(endpoint, "/generate_stream", body, "tgi")

    def score(self, endpoint: Endpoint, text: str, tokens: Sequence[int] | None, top: int) -> tuple[TokenScore, ...]:
        """How likely a text is: the details of the prefill. TGI takes texts alone, and names no other tokens."""
        del tokens, top
        body = {"inputs": text, "parameters": {"max_new_tokens": 1, "details": True, "decoder_input_details": True}}
        return self._scored(endpoint, "/generate", body, scoring.of_prefill)
