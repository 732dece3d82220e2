"""A request is frozen, checked when it is made, and refused in one sentence in the words of the command line."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

import pytest
from pydantic import Field, ValidationError, model_validator

from core.errors import RequestError
from core.evaluate.spec import EvaluateSpec
from core.quantize.spec import QuantizeSpec
from core.spec import Spec, option


class TrialSpec(Spec):
    capability: ClassVar[str] = "trial"

    group_size: Annotated[int, option("Weights", "weight", ge=8, le=64)] = 32
    rows: Annotated[int, Field(description="Rows")] = 64

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.rows % self.group_size:
            raise ValueError(f"group-size {self.group_size} does not divide rows of {self.rows}")
        return self


def test_a_spec_survives_its_file() -> None:
    spec = TrialSpec(model="bundled:base", group_size=16)
    assert TrialSpec.parse(spec.model_dump(mode="json")) == spec


def test_a_spec_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TrialSpec(model="m").group_size = 8  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"model": "m", "grop_size": 8}, "unknown field grop-size: remove it, or check its spelling"),
        ({"model": "m", "group_size": 4}, "group-size = 4 is invalid: input should be greater than or equal to 8"),
        ({"model": "m", "group_size": "many"}, "group-size = 'many' is invalid: input should be a valid integer"),
        ({"model": "m", "group_size": 24}, "group-size 24 does not divide rows of 64"),
        ({"model": "m", "device": "gpu"}, "device = 'gpu' is invalid: string should match pattern"),
        ({"model": "m", "seed": -1}, "seed = -1 is invalid: input should be greater than or equal to 0"),
        ({"model": "m", "\x1b[2J": 1}, "unknown field �[2J: remove it"),
        ({"model": "m", "rows": "9" * 500 + "x"}, f"rows = '{'9' * 78}… is invalid"),
        ({"model": ""}, "model = '' is invalid: string should have at least 1 character"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RequestError) as raised:
        TrialSpec.parse(values)
    assert str(raised.value).startswith(sentence)
    assert "\n" not in str(raised.value)


def test_a_missing_model_is_named() -> None:
    with pytest.raises(RequestError, match="model"):
        TrialSpec.parse({})


@pytest.mark.parametrize("spec", [EvaluateSpec, QuantizeSpec])
def test_every_field_tells_a_person_what_it_is(spec: type[Spec]) -> None:
    for name, field in spec.model_fields.items():
        assert field.description, name
        if field.annotation in (int, float) and name != "seed":
            assert isinstance(field.json_schema_extra, dict), name
            assert "unit" in field.json_schema_extra, name
