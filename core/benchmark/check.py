"""Refuse a load before anything is started or reached."""

from __future__ import annotations

from core.benchmark.drive.admission import check_load
from core.benchmark.server.formats import check_format
from core.benchmark.spec import BenchmarkSpec
from core.engine import look_up
from core.models.card import ModelCard
from core.models.resolve import resolve


def check(spec: BenchmarkSpec, card: ModelCard | None) -> None:
    """What can be known of a load without its server; `card` is None for an address.

    Raises:
        RequestError: as `check_load`, and an engine that does not read the model's format.
    """
    check_load(spec, card)
    if card is not None:
        check_format(look_up(spec.engine_name).facts, resolve(spec.model).kind)
