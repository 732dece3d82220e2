"""SGLang: `sglang serve` in an environment of its own."""

from __future__ import annotations

from core import engine_paths
from core.engine import Command, EngineFacts, Found, Missing, ServeSpec
from core.models.resolve import require_folder, resolve
from engines.common import probing
from engines.common.arguments import Arguments
from engines.common.base import OpenAiServer


class Sglang(OpenAiServer):
    """Found by its configured environment, else on the path."""

    facts = EngineFacts(
        "sglang",
        "SGLang",
        "RadixAttention, structured outputs; GPUs",
        port=30000,
        formats=("plain", "compressed-tensors", "gptq", "awq", "fp8"),
        ignores_eos=True,
    )
    gauges = {  # noqa: RUF012
        "running": ("sglang:num_running_reqs",),
        "waiting": ("sglang:num_queue_reqs",),
        "kv_usage": ("sglang:token_usage",),
        "prefix_hits": ("sglang:cached_tokens",),
        "prefix_queries": ("sglang:prompt_tokens",),
        "generated": ("sglang:generation_tokens",),
    }

    complaints = (
        (r"Not enough memory\. Please try to increase --mem-fraction-static", "raise gpu-memory, or lower context or concurrency"),
        (r"unrecognized arguments: .*", "this version does not support an argument: check extra"),
    )

    def find(self) -> Found | Missing:
        """The installed version, or why there is none."""
        program = engine_paths.program("sglang", "sglang")
        if program is None:
            return Missing(
                f"SGLang is not installed: make an environment with `pip install sglang`, and name its folder in {engine_paths.variable('sglang')}"
            )
        return Found(probing.package_version(engine_paths.python("sglang"), "sglang") or "of unknown version", program)

    def command(self, spec: ServeSpec, found: Found, port: int) -> Command:
        """`sglang serve --model-path MODEL ...`."""
        arguments = Arguments("SGLang", probing.flags(found.program, ("serve", "--help")))
        arguments.add("serve", "--model-path", str(require_folder(resolve(spec.model))), "--host", spec.host, "--port", str(port))
        arguments.option("--context-length", spec.context).option("--dtype", spec.dtype if spec.dtype != "auto" else None)
        arguments.option("--quantization", spec.quantization, needed=True).option("--kv-cache-dtype", spec.kv_dtype, needed=True)
        arguments.option("--mem-fraction-static", spec.gpu_memory).option("--max-running-requests", spec.concurrency)
        arguments.option(("--tp-size", "--tensor-parallel-size"), spec.tensor_parallel if spec.tensor_parallel > 1 else None, needed=True)
        arguments.option("--random-seed", spec.seed).option("--enable-metrics", True)
        if spec.device == "cpu":
            arguments.option("--device", "cpu", needed=True)
        if spec.draft is not None:
            arguments.option("--speculative-algorithm", "STANDALONE", needed=True).option("--speculative-draft-model-path", spec.draft, needed=True)
            arguments.option("--speculative-num-steps", spec.gamma).option("--speculative-num-draft-tokens", spec.gamma + 1)
            arguments.option("--speculative-eagle-topk", 1)
        return Command((*found.program, *arguments.add(*spec.extra).values), notes=tuple(arguments.notes))
