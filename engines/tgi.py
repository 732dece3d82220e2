"""Text Generation Inference: upstream only maintains it since December 2025, so this program attaches to a server and starts none."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from core.engine import Command, Endpoint, EngineFacts, Found, Missing, ServeSpec, TimedText, TokenScore
from core.errors import RequestError
from core.models.resolve import require_folder, resolve
from core.sanitize import clean
from engines.common import http, scoring
from engines.common.arguments import Arguments
from engines.common.base import OpenAiServer, timed

_IMAGE = "ghcr.io/huggingface/text-generation-inference"
_MAINTAINED = "TGI is in maintenance mode upstream, and is not started by this program"


class Tgi(OpenAiServer):
    """Speaks its own `/generate_stream`, and says what it serves at `/info`."""

    facts = EngineFacts(
        "tgi",
        "TGI",
        "Hugging Face's server, in maintenance mode upstream; attach to a running one",
        style="tgi",
        starts=False,
        port=3000,
        formats=("plain", "gptq", "awq", "bitsandbytes", "fp8"),
    )
    gauges = {"running": ("tgi_batch_current_size",), "waiting": ("tgi_queue_size",), "generated": ("tgi_request_generated_tokens_sum",)}  # noqa: RUF012

    def find(self) -> Missing:
        """Not started from here: how it is started."""
        return Missing(f"{_MAINTAINED}: start it with `docker run ... {_IMAGE} --model-id MODEL`, then give its address")

    def command(self, spec: ServeSpec, found: Found, port: int) -> Command:
        """Always refused, with the command that starts it elsewhere. Raises RequestError: the exact `docker run` of what is asked."""
        del found
        line = shlex.join(_docker(spec, port))
        raise RequestError(f"{_MAINTAINED}: start it with `{line}`, then give its address, http://{spec.host}:{port}")

    def models(self, endpoint: Endpoint) -> tuple[str, ...]:
        """The one model of `/info`."""
        info = http.get_json(endpoint, "/info")
        name = info.get("model_id") if isinstance(info, dict) else None
        if not isinstance(name, str):
            raise RequestError(f"{clean(endpoint.url)} does not report its model at /info: is it a TGI server?")
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


def _docker(spec: ServeSpec, port: int) -> list[str]:
    """The command for a model folder of this machine, which the container sees as /model."""
    folder = str(require_folder(resolve(spec.model)).resolve())
    line = ["docker", "run", "--gpus", "all", "--shm-size", "1g", "-p", f"{spec.host}:{port}:80", "-v", f"{folder}:/model:ro", _IMAGE]
    arguments = Arguments("TGI").add(*line, "--model-id", "/model")
    arguments.option("--max-total-tokens", spec.context).option("--quantize", spec.quantization).option("--kv-cache-dtype", spec.kv_dtype)
    arguments.option("--dtype", spec.dtype if spec.dtype in ("float16", "bfloat16") else None)
    arguments.option("--num-shard", spec.tensor_parallel if spec.tensor_parallel > 1 else None)
    arguments.option("--cuda-memory-fraction", spec.gpu_memory).option("--max-concurrent-requests", spec.concurrency)
    return arguments.add(*spec.extra).values
