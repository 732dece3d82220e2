"""Refuse a comparison before anything is started. No torch."""

from __future__ import annotations

from core.benchmark.check import check as check_one
from core.benchmark.compare_spec import BenchmarkCompareSpec
from core.benchmark.documents import load_result
from core.errors import RequestError
from core.models.card import ModelCard
from core.models.resolve import resolve


def check(spec: BenchmarkCompareSpec, _card: ModelCard) -> None:
    """What can be known of every target; an engine that is not installed is no mistake, and becomes a row with its reason.

    Raises:
        RequestError: an engine that does not exist, a checkpoint that is not there, or what a benchmark of the target would be refused for.
    """
    if spec.baseline is not None:
        load_result(spec.baseline)
    for target in spec.chosen:
        one = spec.of(target)
        try:
            check_one(one, None if one.is_url else resolve(target.model).card())
        except RequestError as error:
            raise RequestError(f"{target.label}: {error}") from error
