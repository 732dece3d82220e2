"""Results are read as far as they are understood, and their figures say what they are."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from core.result import Figure, Figures, Result
from core.runs.figures import figure, show
from core.runs.registry import CAPABILITIES, result_class, spec_class


class Row(Figures):
    name: str
    loss: Annotated[float | None, Figure("loss", "nat", "lower", "loss_se")] = None
    bytes: Annotated[int, Figure("size", "byte", "lower")] = 0


class Found(Result):
    figures: ClassVar[dict[str, Figure]] = {"told": Figure("told on the way", "share", "higher")}

    schema_: str = Field("llmopt.found/1", alias="schema")
    capability: Literal["found"] = "found"
    rows: tuple[Row, ...]
    best: Row | None = None
    speed: Annotated[float, Figure("speed", "", "higher")]


DOCUMENT: dict[str, Any] = {
    "schema": "llmopt.found/1",
    "llmopt_version": "0.0.1",
    "run": "20260101-000000-found-aaaa",
    "capability": "found",
    "rows": [{"name": "a", "loss": 0.5, "bytes": 7}, {"name": "b"}],
    "speed": 2.0,
    "artifacts": [{"path": "/somewhere", "kind": "checkpoint"}],
}


def test_a_result_reads_what_it_wrote() -> None:
    result = Found.read(DOCUMENT)
    assert result is not None
    assert Found.read(result.model_dump(mode="json")) == result
    assert list(result.model_dump(mode="json"))[:2] == ["schema", "llmopt_version"]


def test_fields_of_a_later_version_are_passed_over() -> None:
    assert Found.read({**DOCUMENT, "colour": "red", "rows": [{"name": "a", "weight": 3}]}) is not None


def test_an_optional_value_that_is_none_is_left_out() -> None:
    result = Found.read({**DOCUMENT, "best": {"name": "a", "loss": "low", "bytes": "many"}})
    assert result is not None
    assert result.best == Row(name="a")


def test_an_entry_of_a_list_that_cannot_be_read_is_left_out() -> None:
    result = Found.read({**DOCUMENT, "rows": [{"loss": 1.0}, {"name": "b", "loss": 2.0}, 7]})
    assert result is not None
    assert [row.name for row in result.rows] == ["b"]


@pytest.mark.parametrize(
    "document", [None, [], "text", {}, {**DOCUMENT, "speed": "fast"}, {name: DOCUMENT[name] for name in DOCUMENT if name != "rows"}]
)
def test_without_a_required_value_there_is_no_result(document: object) -> None:
    assert Found.read(document) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*DOCUMENT, "name", "loss", "bytes"]), inner, max_size=4),
)


@given(st.dictionaries(st.sampled_from([*DOCUMENT, "best"]), JSON))
def test_whatever_a_file_holds_reading_it_raises_nothing(change: dict[str, Any]) -> None:
    result = Found.read({**DOCUMENT, **change})
    assert result is None or isinstance(result.speed, float)


def test_figures_are_found_on_the_fields_of_all_parts() -> None:
    table = Found.figure_table()
    assert set(table) == {"loss", "bytes", "speed", "told"}
    assert table["loss"].title == "loss, nat"
    assert (table["loss"].better, table["loss"].error) == ("lower", "loss_se")


@pytest.mark.parametrize("key", CAPABILITIES)
def test_every_capability_has_a_spec_and_a_result(key: str) -> None:
    assert spec_class(key).capability == key
    assert result_class(key).model_fields["capability"].default == key
    assert result_class(key).model_fields["schema_"].default == f"llmopt.{key}/1"


def test_a_dotted_name_is_the_figure_of_its_owner() -> None:
    assert figure("kivi-4.ppl", "kv-cache").title == "kivi-4: perplexity"
    assert show("bytes_after", 2048, "quantize") == "2.0 KiB"
    assert figure("never_heard_of_ms").title == "never heard of, ms"
