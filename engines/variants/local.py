"""Engines that this program serves itself: `python -m engines.server` over one of its backends."""

from __future__ import annotations

import sys
from os import environ
from pathlib import Path
from typing import ClassVar

from core import __version__, engine_paths
from core.engine import Command, Found, Missing, ServeSpec
from core.errors import RequestError
from engines.common import probing
from engines.common.base import OpenAiServer


class LocalServer(OpenAiServer):
    """A backend of `engines.server`."""

    backend: ClassVar[str]
    package: ClassVar[str] = ""
    """What must be installed, and whose version counts; empty: nothing but this program."""
    extra: ClassVar[str] = ""
    """How to install it."""
    gauges = {  # noqa: RUF012
        "running": ("llmopt_requests_running",),
        "waiting": ("llmopt_requests_waiting",),
        "generated": ("llmopt_generation_tokens",),
    }

    def find(self) -> Found | Missing:
        """The Python of the configured environment if this program is installed there too, else its own."""
        name = self.facts.name.partition("/")[0]
        python = engine_paths.python(name)
        if engine_paths.configured(name) is not None and not probing.has_module(python, "engines.server"):
            python = sys.executable
        program = (python, "-m", "engines.server", "--backend", self.backend)
        if not self.package:
            return Found(__version__, program)
        version = probing.package_version(python, self.package)
        if not version:
            return Missing(f"{self.facts.title} is not installed: {self.extra}")
        return Found(version, program)

    def command(self, spec: ServeSpec, found: Found, port: int) -> Command:
        """The server, in a process of its own."""
        self.refuse(spec)
        argv = [*found.program, "--model", _place(spec.model), "--host", spec.host, "--port", str(port), "--dtype", spec.dtype]
        argv += ["--device", "cpu" if spec.device == "auto" else spec.device]
        for flag, value in (("--context", spec.context), ("--threads", spec.threads)):
            argv += [] if value is None else [flag, str(value)]
        if environ.get(self.facts.key_env):
            argv += ["--key-env", self.facts.key_env]
        threads = {} if spec.threads is None else {"OMP_NUM_THREADS": str(spec.threads)}
        return Command((*argv, *spec.extra), {"PYTHONUNBUFFERED": "1"} | threads)

    def refuse(self, spec: ServeSpec) -> None:
        """Raises RequestError for what these servers cannot."""
        for name, value in (
            ("draft", spec.draft),
            ("quantization", spec.quantization),
            ("kv-dtype", spec.kv_dtype),
            ("gpu-memory", spec.gpu_memory),
            ("tensor-parallel", spec.tensor_parallel if spec.tensor_parallel > 1 else None),
        ):
            if value is not None:
                raise RequestError(f"{self.facts.title} as served by this program does not support {name}: omit it, or use another engine")


def _place(model: str) -> str:
    """A path as it is found from anywhere: the server runs in a folder of its own."""
    path = Path(model).expanduser()
    return model if model.startswith("bundled:") or not path.exists() else str(path.resolve())
