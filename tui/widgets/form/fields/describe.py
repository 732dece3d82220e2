"""What a form needs to know about a field of a spec, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from core.sanitize import clean
from core.spec import Spec, Values, extra_of

Kind = Literal["choice", "flag", "integer", "number", "integers", "numbers", "names", "text"]

_UNITS = {"1": "", "percent": "%"}
_NO_REAL_LIMIT = 2**31
"""Bounds from here on only guard the arithmetic: telling a user of them helps nobody."""
_WHEN_EMPTY = re.compile(r"default: (.+)$|([^;:]+) when not given$|([^;:]+ unless [^;:]+)$")
_KINDS: dict[Any, Kind] = {bool: "flag", int: "integer", float: "number"}
_SEVERAL: dict[Any, Kind] = {int: "integers", float: "numbers"}
"""Of tuples by what they hold; of anything else names."""


@dataclass(frozen=True)
class FieldView:
    """A field as a user sees it."""

    name: str
    kind: Kind
    description: str
    default: Any = None
    required: bool = False
    optional: bool = False
    unit: str = ""
    choices: tuple[Any, ...] = ()
    bounds: str = ""
    applies: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Other field -> its values for which this one means anything; empty: always."""

    @property
    def label(self) -> str:
        return self.name.replace("_", " ")

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def blank(self) -> str:
        """What an empty entry means: the default, or what the description says of a value that is not given."""
        if self.default is not None:
            return shown(self.default)
        said = _WHEN_EMPTY.search(self.description)
        return next(filter(None, said.groups()), "").strip() if said else ""

    def help(self) -> str:
        """One line: what the field is, its range, its default."""
        parts = [self.description]
        if self.bounds:
            parts.append(self.bounds)
        if not self.required and self.default is not None:
            parts.append(f"default {shown(self.default)}")
        return " · ".join(parts)

    def explained(self) -> str:
        """Several lines: name on the command line, what the field is, its choices, its unit, when it means something."""
        lines = [self.option, self.help()]
        if self.choices:
            lines.append(f"one of: {', '.join(map(shown, self.choices))}")
        if self.unit:
            lines.append(f"unit: {self.unit}")
        for other, allowed in self.applies.items():
            lines.append(f"only used with {other.replace('_', ' ')} {' or '.join(map(shown, allowed))}")
        return "\n".join(lines)

    def summary(self, value: Any) -> str:
        """A value with its unit, for a line that sums up several fields; empty where there is none."""
        text = clean(shown(value))
        if not text or self.kind in ("flag", "choice"):
            return text and f"{self.label} {text}"
        return f"{text} {self.unit}" if self.unit else text if self.kind == "text" else f"{self.label} {text}"

    def applies_to(self, values: Values) -> bool:
        """Whether the field means anything with these values of the other fields."""
        return all(values.get(name) in allowed for name, allowed in self.applies.items())


@cache
def describe(spec_class: type[Spec]) -> tuple[FieldView, ...]:
    """Every field of a spec, in the order in which it is declared."""
    return tuple(_view(name, info) for name, info in spec_class.model_fields.items())


def shown(value: Any) -> str:
    """A value as a form and a help line write it: booleans as on and off, lists with commas, nothing as an empty string."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple | list):
        return ", ".join(map(shown, value))
    return "" if value is None else str(value)


def _view(name: str, info: FieldInfo) -> FieldView:
    annotation, optional = _without_none(info.annotation)
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    extra = extra_of(info)
    default = info.get_default(call_default_factory=True, validated_data={})
    unit = extra.unit or "1"
    return FieldView(
        name=name,
        kind="choice" if choices else _kind(annotation),
        description=info.description or name,
        default=None if default is PydanticUndefined else default,
        required=info.is_required(),
        optional=optional,
        unit=_UNITS.get(unit, f"{unit}s"),
        choices=choices,
        bounds=_bounds(info),
        applies=extra.applies,
    )


def _kind(annotation: Any) -> Kind:
    if get_origin(annotation) is tuple:
        return _SEVERAL.get(get_args(annotation)[0], "names")
    return _KINDS.get(annotation, "text")


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) not in (Union, UnionType):
        return annotation, False
    members = [member for member in get_args(annotation) if member is not NoneType]
    return (members[0] if len(members) == 1 else str), len(members) < len(get_args(annotation))


def _bounds(info: FieldInfo) -> str:
    """The numeric range in words, for example `2 to 8` or `above 0, at most 1`."""
    limits: dict[str, object] = {}
    for item in info.metadata:
        for kind, attribute in ((annotated_types.Ge, "ge"), (annotated_types.Gt, "gt"), (annotated_types.Le, "le"), (annotated_types.Lt, "lt")):
            if isinstance(item, kind) and abs(getattr(item, attribute)) < _NO_REAL_LIMIT:
                limits[attribute] = getattr(item, attribute)
    if "ge" in limits and "le" in limits:
        return f"{limits['ge']} to {limits['le']}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return ", ".join(f"{words[kind]} {limits[kind]}" for kind in words if kind in limits)
