"""Refuse a load before anything is started or reached."""

from __future__ import annotations

from core.benchmark.drive.admission import check_load
from core.benchmark.serve.check import ServerCheck
from core.benchmark.serve.check import check as check_server
from core.benchmark.server.target import serve_spec
from core.benchmark.spec import BenchmarkSpec
from core.models.card import ModelCard

_TEMPLATE = 64
"""Tokens that a chat template may add."""


def check(spec: BenchmarkSpec, card: ModelCard | None) -> ServerCheck | None:
    """What can be known of a load without its server, and the server that is started for it; `card` is None for an address.

    Raises:
        RequestError: as `check_load`, and of a server that is started as its own check.
    """
    check_load(spec, card)
    if card is None:
        return None
    return check_server(serve_spec(spec, min(spec.input_tokens + spec.output_tokens + _TEMPLATE, card.context)), card)
