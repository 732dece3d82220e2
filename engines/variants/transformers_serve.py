"""`transformers serve`: the server that transformers brings itself."""

from __future__ import annotations

import re

from core import engine_paths
from core.engine import Command, Endpoint, EngineFacts, Found, Missing, ServeSpec
from core.errors import RequestError
from core.models.resolve import require_folder, resolve
from core.sanitize import clean
from engines.common import http, probing
from engines.common.arguments import Arguments
from engines.common.base import OpenAiServer

_WIDE = {"COLUMNS": "250", "TERM": "dumb"}
"""Its help is a table that leaves out flags for which it has no room."""
_NEEDED = ("fastapi", "uvicorn", "openai")
_PINNED = re.compile(r"pinned to '(.+)'; requested ")


class TransformersServe(OpenAiServer):
    """One model, loaded before it answers. It refuses fields that it does not know, `ignore_eos` among them."""

    facts = EngineFacts(
        "transformers/serve",
        "transformers serve",
        "The server that ships with transformers, one request at a time unless given --continuous-batching",
        formats=("plain", "compressed-tensors", "gptq", "awq", "bitsandbytes", "fp8", "aqlm"),
        tried="for real",
    )
    complaints = ((r"requires `?accelerate|Missing dependencies for serving", "install transformers[serving] in that environment"),)

    def find(self) -> Found | Missing:
        """The installed version, or why there is none."""
        program, python = engine_paths.program("transformers", "transformers"), engine_paths.python("transformers")
        version = probing.package_version(python, "transformers")
        if program is None or not version:
            return Missing("transformers serve is not installed: pip install 'transformers[serving]'")
        lacking = [package for package in _NEEDED if not probing.package_version(python, package)]
        if lacking:
            place = engine_paths.variable("transformers")
            told = f"transformers serve lacks {', '.join(lacking)}: pip install 'transformers[serving]' in an environment of its own"
            return Missing(f"{told}, and name it in {place}")
        return Found(version, program)

    def command(self, spec: ServeSpec, found: Found, port: int) -> Command:
        """`transformers serve MODEL ...`."""
        _refuse(spec)
        arguments = Arguments("transformers serve", probing.flags(found.program, ("serve", "--help"), _WIDE))
        arguments.add("serve", str(require_folder(resolve(spec.model)).resolve()), "--host", spec.host, "--port", str(port))
        arguments.option("--device", spec.device).option("--dtype", spec.dtype).option("--default-seed", spec.seed)
        arguments.option("--quantization", spec.quantization, needed=True)
        if spec.context is not None:
            arguments.notes.append("transformers serve has no context limit: ignored")
        threads = {} if spec.threads is None else {"OMP_NUM_THREADS": str(spec.threads)}
        return Command((*found.program, *arguments.add(*spec.extra).values), threads, tuple(arguments.notes))

    def models(self, endpoint: Endpoint) -> tuple[str, ...]:
        """The model that it was started with. Its `/v1/models` lists the cache of Hugging Face instead; a refusal names the one it is pinned to."""
        try:
            http.post_json(endpoint, "/v1/completions", {"model": "", "prompt": ""})
        except http.StatusError as error:
            if (pinned := _PINNED.search(str(error))) is not None:
                return (clean(pinned.group(1), limit=400),)
        return super().models(endpoint)


def _refuse(spec: ServeSpec) -> None:
    for name, value in (
        ("draft", spec.draft),
        ("kv-dtype", spec.kv_dtype),
        ("gpu-memory", spec.gpu_memory),
        ("tensor-parallel", spec.tensor_parallel if spec.tensor_parallel > 1 else None),
    ):
        if value is not None:
            raise RequestError(f"transformers serve does not support {name}: omit it, or use another engine")
