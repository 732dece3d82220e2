"""`python -m engines.server --backend runtime --model bundled:base --port 8000`: serve a model on this machine."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from aiohttp import web

from core.errors import LlmoptError
from engines.server.app import make_app
from engines.server.backends.base import Backend
from engines.server.worker import Worker


def _runtime(options: argparse.Namespace) -> Backend:
    from engines.server.backends.runtime import RuntimeBackend

    return RuntimeBackend(options.model, options.context, options.dtype, options.device)


def _transformers(options: argparse.Namespace) -> Backend:
    from engines.server.backends.transformers import TransformersBackend

    return TransformersBackend(options.model, options.context, options.dtype, options.device)


def _llama_cpp(options: argparse.Namespace) -> Backend:
    from engines.server.backends.llama_cpp import LlamaCppBackend

    return LlamaCppBackend(options.model, options.context, options.threads, -1 if options.device.startswith("cuda") else 0)


BACKENDS: dict[str, Callable[[argparse.Namespace], Backend]] = {"runtime": _runtime, "transformers": _transformers, "llama-cpp": _llama_cpp}


def _set_threads(options: argparse.Namespace) -> None:
    import torch

    from core.models.resolve import resolve
    from core.runtime.threads import usual_threads

    torch.set_num_threads(options.threads or usual_threads(resolve(options.model).card(), options.device))


def main(arguments: list[str] | None = None) -> int:
    """Load the model, then serve until SIGTERM; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engines.server", description=__doc__)
    parser.add_argument("--backend", choices=sorted(BACKENDS), default="runtime")
    parser.add_argument("--model", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--context", type=int)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--key-env", help="environment variable with the key that clients must send")
    options = parser.parse_args(arguments)
    key = os.environ.pop(options.key_env, None) if options.key_env else None
    if options.key_env and not key:
        sys.stderr.write(f"the environment variable {options.key_env}, which should hold the key, is not set\n")
        return 2
    try:
        if options.backend != "llama-cpp":
            _set_threads(options)
        backend = BACKENDS[options.backend](options)
    except LlmoptError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"serving {backend.name} on http://{options.host}:{options.port} by {backend.words}\n")
    sys.stdout.flush()
    worker = Worker(backend)
    try:
        # A handler is cancelled when its client leaves, and with it the work for a client that is gone.
        web.run_app(
            make_app(worker, key),
            host=options.host,
            port=options.port,
            print=None,
            access_log=None,
            shutdown_timeout=1.0,
            handler_cancellation=True,
            auto_decompress=False,
        )
    except OSError as error:
        sys.stderr.write(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}\n")
        return 1
    finally:
        worker.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
