"""What can be asked of a pruning, and how what cannot is refused."""

from __future__ import annotations

import pytest

from core.errors import RequestError
from core.prune.spec import PruneSpec


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"sparsity": 0}, "sparsity = 0 is invalid"),
        ({"sparsity": 1}, "sparsity = 1 is invalid"),
        ({"sparsity": 1.5}, "sparsity = 1.5 is invalid"),
        ({"sparsity": -0.5}, "sparsity = -0.5 is invalid"),
        ({"sparsity": float("nan")}, "sparsity = nan is invalid"),
        ({"keep": "4:4"}, "keep 4:4 is invalid"),
        ({"keep": "0:4"}, "keep 0:4 is invalid"),
        ({"keep": "2-4"}, "keep = '2-4' is invalid"),
        ({"keep": "2:4", "allocation": "owl"}, "keep 2:4 fixes the sparsity of every layer"),
        ({"keep": "2:4", "method": "magnitude", "scope": "global"}, "keep 2:4 counts inside groups"),
        ({"method": "lottery"}, "method = 'lottery' is invalid"),
        ({"criterion": "taylor"}, "criterion = 'taylor' is invalid"),
        ({"eval_tokens": 100}, "do not fill one window"),
    ],
)
def test_one_sentence_says_what_is_wrong(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(RequestError) as raised:
        PruneSpec.parse({"model": "m", **values})
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("values", "summary"),
    [
        ({}, "wanda 50 %"),
        ({"method": "magnitude"}, "magnitude 30 %"),
        ({"method": "magnitude", "scope": "global"}, "magnitude 30 % global"),
        ({"method": "sparsegpt", "keep": "2:4", "refit": True}, "sparsegpt keep 2 of 4 refit"),
        ({"sparsity": 0.625, "allocation": "owl", "swaps": 20}, "wanda 62.5 % owl swaps"),
        ({"recover_steps": 300, "within_block": "dense"}, "wanda 50 % dense recover300"),
    ],
)
def test_a_line_names_what_departs_from_the_usual(values: dict[str, object], summary: str) -> None:
    assert PruneSpec(model="m", **values).summary() == summary


def test_a_saved_request_is_read_back_as_it_was() -> None:
    spec = PruneSpec(model="m", method="sparsegpt", keep="4:8", swaps=3)
    assert PruneSpec.parse(spec.model_dump(mode="json")) == spec
