"""llama.cpp through llama-cpp-python behind an OpenAI-compatible server; or `llama-server` where it is on the path."""

from __future__ import annotations

from core import engine_paths
from core.engine import Command, EngineFacts, Found, Missing, ServeSpec
from core.models.resolve import resolve
from engines import probing
from engines.arguments import Arguments
from engines.local import LocalServer


class LlamaCpp(LocalServer):
    """`llama-server` first, as it answers several requests at once; else llama-cpp-python in a server of this program."""

    facts = EngineFacts(
        "llama-cpp",
        "llama.cpp",
        "GGUF files on CPUs and GPUs",
        port=8080,
        formats=("gguf",),
        ignores_eos=True,
        tried="for real",
    )
    backend = "llama-cpp"
    package = "llama-cpp-python"
    extra = "pip install 'llmopt-tui[llama-cpp]', or put llama-server on the path"
    gauges = LocalServer.gauges | {
        "running": ("llmopt_requests_running", "llamacpp:requests_processing"),
        "waiting": ("llmopt_requests_waiting", "llamacpp:requests_deferred"),
        "kv_usage": ("llamacpp:kv_cache_usage_ratio",),
        "generated": ("llmopt_generation_tokens", "llamacpp:tokens_predicted"),
    }

    def find(self) -> Found | Missing:
        """`llama-server`, else llama-cpp-python."""
        if engine_paths.configured(self.facts.name) is None and (program := engine_paths.program(self.facts.name, "llama-server")) is not None:
            return Found(probing.version(program) or "of unknown version", program)
        return super().find()

    def command(self, spec: ServeSpec, found: Found, port: int) -> Command:
        """Of whichever was found."""
        if "engines.server" in found.program:
            return super().command(spec, found, port)
        arguments = Arguments("llama.cpp", probing.flags(found.program))
        arguments.add("-m", str(resolve(spec.model).path), "--host", spec.host, "--port", str(port))
        arguments.option("--ctx-size", spec.context).option("--threads", spec.threads).option("--parallel", spec.concurrency)
        arguments.option("--cache-type-k", spec.kv_dtype, needed=True).option("--cache-type-v", spec.kv_dtype, needed=True)
        arguments.option("--gpu-layers", "0" if spec.device == "cpu" else None).option("--metrics", True).option("--seed", spec.seed)
        if spec.draft is not None:
            arguments.option("--model-draft", str(resolve(spec.draft).path), needed=True).option("--spec-type", "draft-simple")
            arguments.option(("--draft-max", "--spec-draft-n-max"), spec.gamma)
        return Command((*found.program, *arguments.add(*spec.extra).values), notes=tuple(arguments.notes))
