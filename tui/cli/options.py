"""A command's options, made from the fields of its spec: a field is written once."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from cyclopts import Group, Parameter, Token
from pydantic.fields import FieldInfo

from core.errors import RequestError
from core.runs.registry import spec_class
from core.runs.state import saved
from core.sanitize import clean
from core.spec import Spec, Values, extra_of, text_in

_OPERATORS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_RUN = Group("Run", sort_key=99)
_FLAGS = (("json", "Print one JSON document"), ("detach", "Print the run's id and return; the run continues"))


def from_spec(command: Callable[..., int], spec_type: type[Spec], explanation: str, *more: inspect.Parameter) -> Callable[..., int]:
    """`command` with the signature of a spec: MODEL, one option a field, then --spec, --json and --detach.

    The command is called with the model and options that were given, and only those; `more` are options that are no fields.
    """

    def wrapper(*args: Any, **given: Any) -> int:
        return command(*(args or (given.pop("model", None),)), **given)

    fields = spec_type.model_fields
    groups = _groups(spec_type)
    parameters = [_parameter("model", fields["model"], inspect.Parameter.POSITIONAL_OR_KEYWORD, groups.get("model"))]
    parameters += [
        _parameter(name, fields[name], inspect.Parameter.KEYWORD_ONLY, groups.get(name))
        for name in sorted(fields, key=lambda name: list(groups).index(name) if name in groups else len(groups))
        if name != "model"
    ]
    parameters.append(
        inspect.Parameter(
            "spec",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[Path | None, Parameter(help="Rerun a saved spec.json; options on the command line override it", group=_RUN)],
        )
    )
    for name, text in _FLAGS:
        annotation = Annotated[bool, Parameter(help=text, negative="", show_default=False, group=_RUN)]
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation))
    wrapper.__signature__ = inspect.Signature([*parameters, *more])  # type: ignore[attr-defined]
    wrapper.__doc__ = explanation
    return wrapper


def build_spec(spec_type: type[Spec], model: str | None, given: dict[str, object], saved_file: Path | None) -> Spec:
    """The spec of a command: the saved file's fields, then what was given.

    Raises:
        RequestError: the file is not a saved spec of this command, or a value cannot be used.
    """
    values: dict[str, object] = {}
    if saved_file is not None:
        spec = saved.load(saved_file)
        if not isinstance(spec, spec_type):
            raise RequestError(f"{clean(str(saved_file))} is a spec of {spec.capability}: use `llmopt {spec.capability} --spec`")
        values = _chosen(spec) if given.get("method") not in {None, getattr(spec, "method", None)} else spec.model_dump()
    if model is not None:
        values["model"] = model
    if "model" not in values:
        raise RequestError("give a MODEL, for example bundled:base, or --spec FILE")
    return spec_type.parse(values | given)


def without_effect(spec: Spec, given: Values) -> list[str]:
    """A sentence for each option that was given and has no effect with the others."""
    sentences = []
    for name in given:
        for other, allowed in extra_of(type(spec).model_fields[name]).applies.items():
            if getattr(spec, other) not in allowed:
                sentences.append(f"--{name.replace('_', '-')} has no effect with {other.replace('_', '-')} {getattr(spec, other)}")
                break
    return sentences


def _chosen(spec: Spec) -> dict[str, object]:
    """What departs from what the method of a spec fills in by itself: all that counts with another method."""
    usual = type(spec).parse({"model": spec.model, "method": getattr(spec, "method", None)})
    return {name: value for name, value in spec.model_dump().items() if name == "model" or value != getattr(usual, name)}


def command_line(key: str, values: Values) -> str:
    """The command that asks for these values of a capability's spec; what is as by default is left out."""
    fields = spec_class(key).model_fields
    words = ["llmopt", key, text_in(values, "model")]
    for name, value in values.items():
        if name == "model" or name not in fields or value is None or value == fields[name].get_default(call_default_factory=True):
            continue
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)]
    return shlex.join(words)


def _groups(spec_type: type[Spec]) -> dict[str, Group]:
    """The group of each field in the help, in the order of the sections."""
    found = {}
    for order, (title, names) in enumerate(spec_type.sections):
        group = Group(title.capitalize(), sort_key=order)
        found.update(dict.fromkeys(names, group))
    return found


def _parameter(name: str, field: FieldInfo, kind: inspect._ParameterKind, group: Group | None = None) -> inspect.Parameter:
    annotation: Any = field.annotation
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    if field.is_required():
        annotation = annotation | None
    settings: dict[str, Any] = {"help": " ".join(filter(None, [field.description or "", _bounds(field)]))}
    if group is not None:
        settings["group"] = group
    if get_origin(annotation) is tuple:
        converter, metavar = _SEVERAL.get(get_args(annotation)[0], (_words, "NAME,..."))
        settings |= {"negative": "", "n_tokens": 1, "converter": converter, "metavar": metavar}
        settings["show_default"] = lambda value: ",".join(map(str, value))
    return inspect.Parameter(name, kind, default=default, annotation=Annotated[annotation, Parameter(**settings)])


def _numbers(_type: Any, tokens: Sequence[Token]) -> tuple[int, ...]:
    """`2,3,4` as numbers."""
    try:
        return tuple(int(part) for token in tokens for part in token.value.split(",") if part.strip())
    except ValueError:
        raise ValueError("give whole numbers separated by commas") from None


def _decimals(_type: Any, tokens: Sequence[Token]) -> tuple[float, ...]:
    """`0,0.8,1` as numbers."""
    try:
        return tuple(float(part) for token in tokens for part in token.value.split(",") if part.strip())
    except ValueError:
        raise ValueError("give numbers separated by commas") from None


def _words(_type: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    """`kivi-4,h2o` as names; nothing at all, as of a shell's variable that is not set, is a mistake."""
    found = tuple(part.strip() for token in tokens for part in token.value.split(",") if part.strip())
    if not found:
        raise ValueError("the option has no value: omit it, or give it a value")
    return found


_SEVERAL = {int: (_numbers, "INT,..."), float: (_decimals, "FLOAT,...")}
"""Of tuples by what they hold; anything else is names."""


def _bounds(field: FieldInfo) -> str:
    """For example `(2 to 8 bits)`, `(at least 1 token)`, `(more than 0, at most 1)`."""
    limits = {name: getattr(constraint, name) for constraint in field.metadata for name in _OPERATORS if getattr(constraint, name, None) is not None}
    limits = {name: limit for name, limit in limits.items() if limit < 2**31}
    unit = extra_of(field).unit
    words = f"{limits['ge']} to {limits['le']}" if {"ge", "le"} <= set(limits) else ", ".join(f"{_OPERATORS[name]} {limits[name]}" for name in limits)
    if unit not in {"", "1"} and get_origin(field.annotation) is not Literal:
        words = f"{words} {unit if words.endswith(' 1') else _plural(unit)}".strip()
    return f"({words})" if words else ""


def _plural(unit: str) -> str:
    return unit if unit == "percent" else f"{unit}s"
