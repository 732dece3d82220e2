"""What every experiment's specification shares: one model, three faces (form, command line, saved file)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from core.errors import RequestError
from core.sanitize import clean

S = TypeVar("S", bound="Spec")
Unit = Literal["bit", "weight", "token", "sequence", "step", "byte", "second", "percent", "nat", "1"]


Values = Mapping[str, object]
"""Fields of a spec by name, before they are validated: of a form, a command line or a file."""


def text_in(values: Values, name: str, default: str = "") -> str:
    """A text among values, as it was written; the default where there is none."""
    value = values.get(name)
    return value if isinstance(value, str) and value else default


@dataclass(frozen=True)
class FieldExtra:
    """What a field of a spec says besides its type, bounds and description."""

    unit: str = ""
    applies: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    """It means something only alongside these values of other fields."""


def extra_of(info: FieldInfo) -> FieldExtra:
    """What `option` said of a field."""
    extra = info.json_schema_extra
    if not isinstance(extra, dict):
        return FieldExtra()
    applies = extra.get("applies")
    return FieldExtra(
        unit=str(extra.get("unit", "")),
        applies={other: tuple(allowed) for other, allowed in applies.items() if isinstance(allowed, list)} if isinstance(applies, dict) else {},
    )


def option(description: str, unit: Unit | None = None, /, *, when: Mapping[str, tuple[Any, ...]] | None = None, **bounds: Any) -> Any:
    """A field of a spec.

    Args:
        description: what it means, for the form and the help.
        unit: which a form shows after it.
        when: values of other fields alongside which alone it means something, for example `{"method": ("gptq",)}`.
        bounds: as of pydantic's `Field`.
    """
    extra: dict[str, Any] = {} if unit is None else {"unit": unit}
    if when is not None:
        extra["applies"] = {other: list(allowed) for other, allowed in when.items()}
    return Field(description=description, json_schema_extra=extra or None, **bounds)


def listed(value: Any) -> Any:
    """`a, b` or `a b`, as a form's entry and a saved text have it, in parts."""
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def either(values: Sequence[object]) -> str:
    """Choices in words: `2, 3 or 4`."""
    *others, last = (str(value) for value in values)
    return f"{', '.join(others)} or {last}" if others else last


def require_window(eval_tokens: int, context: int) -> None:
    """Nothing, when tokens to evaluate on fill a window, or are 0. Raises ValueError: they do not, in the words of the command line."""
    if 0 < eval_tokens < context:
        raise ValueError(f"eval-tokens {eval_tokens} do not fill one window of context {context}: raise eval-tokens or lower context")


Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Threads = Annotated[int | None, option("CPU threads; default: torch's own choice", ge=1, le=1024)]


class Spec(BaseModel):
    """A frozen request. Field names are the command line's options in snake case; bounds, default, unit and description stand here only."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=False)

    capability: ClassVar[str]
    """Key of the registry in `core.runs`."""
    sections: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = ()
    """(title, fields): how forms and help group them; all in one when empty."""

    model: Annotated[str, option("Model: bundled:base, a folder, a .gguf file or a Hugging Face id", min_length=1)]
    device: Annotated[str, option("Device to run on: auto, cpu, cuda or cuda:N", pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    seed: Annotated[int, option("Random seed", ge=0, lt=2**63)] = 0

    @classmethod
    def parse(cls, values: Values) -> Self:
        """Build a spec from plain values, for example a saved spec.json. Raises RequestError: with one sentence for the first thing that is wrong."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise RequestError(sentence(error)) from error

    def summary(self) -> str:
        """What was asked, in a line, safe to show; the model is named next to it."""
        changed = (name for name, info in type(self).model_fields.items() if name not in _NOT_TOLD and getattr(self, name) != info.default)
        return clean(", ".join(f"{name.replace('_', '-')} {getattr(self, name)}" for name in changed), limit=200)


def narrowed(spec: Spec, kind: type[S], **more: object) -> S:
    """Another request with the fields that both have, and more. Raises RequestError when it cannot be made of them."""
    return kind.parse({name: value for name, value in spec.model_dump().items() if name in kind.model_fields} | more)


def short_name(model: str) -> str:
    """A model's name as a title shows it, safe to show: the last part of a path, or the name as it is."""
    return clean(PurePath(model).name if model.startswith(("/", "./", "../", "~")) else model, limit=60)


_NOT_TOLD = ("model", "device", "seed")


def sentence(error: ValidationError) -> str:
    """The first complaint of a validation as one sentence in the words of the command line."""
    return _complaint(error.errors()[0])


def sentences(error: ValidationError) -> dict[str, str]:
    """Every complaint of a validation by the field it concerns, "" for the request as a whole; the first of a field counts."""
    found: dict[str, str] = {}
    for details in error.errors():
        found.setdefault(str(details["loc"][0]) if details["loc"] else "", _complaint(details))
    return found


def _complaint(details: ErrorDetails) -> str:
    name = clean(".".join(str(part) for part in details["loc"]).replace("_", "-"), limit=80)
    if details["type"] == "extra_forbidden":
        return f"unknown field {name}: remove it, or check its spelling"
    if details["type"] == "missing":
        return f"{name} is missing: it has no default"
    message = details["msg"].removeprefix("Value error, ")
    if not name:
        return message
    return f"{name} = {clean(repr(details['input']), limit=80)} is invalid: {message[:1].lower()}{message[1:]}"
