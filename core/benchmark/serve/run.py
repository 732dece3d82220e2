"""`llmopt serve`: a server as a run, which outlives the terminal and is stopped by cancelling it."""

from __future__ import annotations

import time

from core.benchmark.serve.events import ReadyEvent
from core.benchmark.serve.result import ServeResult
from core.benchmark.server.serving import Server, served, tail
from core.benchmark.server.watch import host_bytes
from core.context import RunContext
from core.engine import Engine, ServeSpec, look_up
from core.errors import Cancelled, RunFailed
from core.sanitize import clean

_LOOK = 1.0
_SILENT_LOOKS = 30
"""Looks without an answer before a server that still runs counts as hung."""


def run(spec: ServeSpec, context: RunContext) -> ServeResult:
    """Start a server, say when it answers, and watch it until the run is cancelled.

    Raises:
        Cancelled: by the user, which is how a server ends; with the result, once it had answered.
        RequestError: the engine is not installed, or cannot do what is asked.
        RunFailed: the server does not start, or ended by itself.
    """
    engine = look_up(spec.engine)
    log = context.artifacts.parent / "server.log"
    context.progress(0, 1, f"starting {engine.facts.title}")
    with served(engine, spec, log, say=context.log, check_cancelled=context.check_cancelled) as server:
        ready = ReadyEvent(
            url=server.endpoint.url,
            model=server.endpoint.model,
            engine=engine.facts.name,
            version=server.version,
            command=server.command.shown(),
            pid=server.pid,
        )
        context.detail(ready)
        context.log(f"{engine.facts.title} {server.version} answers at {server.endpoint.url} after {server.seconds:.1f} s")
        context.progress(1, 2, "serving")
        began = time.monotonic()
        peak = _watch(engine, server, context)
    served_so_far = ServeResult(
        engine=engine.facts.name,
        engine_version=server.version,
        url=server.endpoint.url,
        served_model=server.endpoint.model,
        command=server.command.shown(),
        start_seconds=server.seconds,
        seconds=time.monotonic() - began,
        peak_rss_bytes=peak,
    )
    raise Cancelled("the server was stopped", result=served_so_far)


def _watch(engine: Engine, server: Server, context: RunContext) -> int | None:
    """Until the user stops the server; its peak memory."""
    peak: int | None = None
    silent = 0
    while True:
        try:
            context.check_cancelled()
        except Cancelled:
            context.log("stopping the server")
            return peak
        if not server.alive:
            lines = tail(server.log)
            why = engine.explain(lines) or " | ".join(line.strip() for line in lines[-3:] if line.strip())
            raise RunFailed(f"the server of {engine.facts.title} ended by itself: {clean(why, limit=400) or 'it said nothing'}")
        figures = engine.figures(server.endpoint)
        memory = host_bytes(server.pid)
        peak = max(filter(None, (peak, memory)), default=None)
        for name in ("running", "waiting", "kv_usage", "generated"):
            if (value := getattr(figures, name)) is not None:
                context.metric(f"server_{name}", value)
        if memory is not None:
            context.metric("server_memory_bytes", memory)
        silent = 0 if engine.readiness(server.endpoint).state == "ready" else silent + 1
        if silent == _SILENT_LOOKS:
            context.log(f"the server has not answered for {_SILENT_LOOKS * _LOOK:.0f} s")
        time.sleep(_LOOK)
