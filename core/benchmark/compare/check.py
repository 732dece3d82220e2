"""Refuse a comparison before anything is started."""

from __future__ import annotations

from pydantic import ValidationError

from core.benchmark.compare.spec import BenchmarkCompareSpec
from core.benchmark.drive.admission import check_baseline, check_load
from core.errors import RequestError
from core.models.card import ModelCard
from core.models.resolve import resolve
from core.spec import sentence


def check(spec: BenchmarkCompareSpec, _card: ModelCard) -> None:
    """What can be known of every target.

    An engine that is not installed, or does not read the model's format, is not a mistake: it becomes a row with its reason.

    Raises:
        RequestError: an engine that does not exist, a checkpoint that is not there, or what a benchmark of the target would be refused for.
    """
    check_baseline(spec.baseline)
    for target in spec.chosen:
        try:
            one = spec.of(target)
            check_load(one, None if one.is_url else resolve(target.model).card())
        except ValidationError as error:
            raise RequestError(f"{target.label}: {sentence(error)}") from error
        except RequestError as error:
            raise RequestError(f"{target.label}: {error}") from error
