"""What every result shares: one frozen model that core fills in, that is kept as JSON, and that screens and the command line read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core import __version__

F = TypeVar("F")
Better = Literal["lower", "higher", ""]
FigureUnit = Literal["", "byte", "second", "share", "ms", "s", "nat", "GB/s"]
"""How a figure is written: bytes and seconds in their largest units, a share as a percentage, everything else as a number with its unit."""
_WRITTEN_OUT = ("ms", "s", "nat", "GB/s")
_MOST_REPAIRS = 200


@dataclass(frozen=True)
class Figure:
    """What a measured quantity is, as metadata of the field that holds it: `Annotated[float, Figure("KL divergence", "nat", "lower")]`."""

    quantity: str
    unit: FigureUnit = ""
    better: Better = ""
    error: str = ""
    """Name of the field that is its standard error."""

    @property
    def title(self) -> str:
        """Quantity and unit, for a heading."""
        return f"{self.quantity}, {self.unit}" if self.unit in _WRITTEN_OUT else self.quantity


Seconds = Annotated[float, Figure("time", "second", "lower")]
PeakMemory = Annotated[int, Figure("peak memory", "byte", "lower")]


class Figures(BaseModel):
    """Part of a result. Fields of later versions are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, serialize_by_alias=True)

    @classmethod
    def read(cls, document: object) -> Self | None:
        """The model of a JSON document, as far as it can be understood.

        An optional value and an entry of a list that do not validate are left out; None where a required value is missing. Text is
        not taken for a number: in a damaged file it may say "nan".
        """
        return _as_far_as_understood(document, lambda left: cls.model_validate_json(_json(left), strict=True))

    @classmethod
    def of_values(cls, values: Mapping[str, object]) -> Self | None:
        """As `read`, for the values of a form, which may be of any type."""
        return _as_far_as_understood(values, cls.model_validate)


def _json(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode(errors="replace")


def _as_far_as_understood(document: object, validate: Callable[[object], F]) -> F | None:
    left = document
    for _ in range(_MOST_REPAIRS):
        try:
            return validate(left)
        except ValidationError as error:
            places = [details["loc"] for details in error.errors()]
        repaired = next((copy for place in places if (copy := _without(left, place)) is not None), None)
        if repaired is None:
            return None
        left = repaired
    return None


class Artifact(Figures):
    """A file or folder that a run made."""

    path: str
    kind: str


class Result(Figures):
    """What a run found. The JSON document begins with `schema` and `llmopt_version`."""

    figures: ClassVar[Mapping[str, Figure]] = {}
    """Figures without a field of their own: those that a run reports as it goes, and entries of computed mappings."""

    schema_: str = Field("", alias="schema")
    llmopt_version: str = __version__
    run: str = ""
    """Id of the run; empty for work that is not a run."""
    capability: str
    artifacts: tuple[Artifact, ...] = ()

    @property
    def exit_code(self) -> int:
        """Of the command: 0 done, 3 a check fell short."""
        return 0

    @property
    def measured(self) -> dict[str, float | None]:
        """Every figure: those of the part `metrics` where the result has one, else the numbers of the result itself.

        Entries of a mapping inside `metrics` have dotted names.
        """
        metrics = self.model_dump(mode="json", include={"metrics"}).get("metrics")
        if isinstance(metrics, dict):
            return dict(_numbers(metrics))
        return {name: value for name, value in _numbers(self.model_dump(mode="json")) if "." not in name}

    @classmethod
    @cache
    def figure_table(cls) -> Mapping[str, Figure]:
        """Every figure of the result and of its parts, by the name of its field."""
        return {**dict(_figures(cls, set())), **cls.figures}


def _numbers(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | None]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}.")
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            yield f"{prefix}{name}", value


def _figures(model: type[BaseModel], seen: set[type]) -> Iterator[tuple[str, Figure]]:
    seen.add(model)
    for name, field in model.model_fields.items():
        for found in (*field.metadata, *_inside(field.annotation)):
            if isinstance(found, Figure):
                yield name, found
            elif isinstance(found, type) and issubclass(found, BaseModel) and found not in seen:
                yield from _figures(found, seen)


def _inside(annotation: Any) -> Iterator[Any]:
    """Metadata and types anywhere inside an annotation."""
    yield from getattr(annotation, "__metadata__", ())
    arguments = get_args(annotation)
    if not arguments:
        yield annotation
    for argument in arguments:
        yield from _inside(argument)


def _without(document: object, place: tuple[int | str, ...]) -> object | None:
    """A copy without the value at `place`, or without the nearest part around it that can be left out; None where nothing is left to leave out."""
    for depth in range(len(place), 0, -1):
        copy = _removed(document, place[:depth])
        if copy is not None:
            return copy
    return None


def _removed(document: object, place: tuple[int | str, ...]) -> object | None:
    first, *rest = place
    if isinstance(document, dict) and first in document:
        if not rest:
            return {key: value for key, value in document.items() if key != first}
        inner = _removed(document[first], tuple(rest))
        return None if inner is None else {**document, first: inner}
    if isinstance(document, list | tuple) and isinstance(first, int) and first < len(document):
        if not rest:
            return [*document[:first], *document[first + 1 :]]
        inner = _removed(document[first], tuple(rest))
        return None if inner is None else [*document[:first], inner, *document[first + 1 :]]
    return None
