"""Whether a model has positions and a cache to compare with none."""

from __future__ import annotations

from core.errors import RequestError
from core.kvcache.catalog.catalog import REFERENCE, refusal_on
from core.kvcache.catalog.refusals import check_positions
from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.why.spec import KvCacheWhySpec
from core.models.card import ModelCard


def check(spec: KvCacheWhySpec, card: ModelCard) -> None:
    """Nothing when the model has positions for the longest length, and keeps keys and values. Raises RequestError: it has not."""
    check_positions(card, spec.lengths[-1])
    refused = refusal_on(REFERENCE, card, SchemeSettings(), "cpu")
    if refused is not None:
        raise RequestError(refused)
