"""spec.json: what was asked, with what versions, in a form that runs again."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from core import __version__
from core.errors import RequestError
from core.runs.registry import CAPABILITIES, spec_class
from core.runs.state.files import read_json
from core.sanitize import clean
from core.spec import Spec

SCHEMA = "llmopt.spec/1"
_FIELDS = {"schema", "llmopt_version", "capability", "versions", "folder", "spec"}
_INPUTS = ("model", "reference", "draft", "student", "text", "calibration", "train_text")
_MEASURED_WITH = ("torch", "transformers")


def document(spec: Spec) -> dict[str, object]:
    """The content of spec.json."""
    return {
        "schema": SCHEMA,
        "llmopt_version": __version__,
        "capability": spec.capability,
        "versions": versions(),
        "folder": str(Path.cwd()),
        "spec": spec.model_dump(mode="json"),
    }


def versions() -> dict[str, str | None]:
    """Versions that a result depends on; None for what is not installed. Imports none of them."""
    found: dict[str, str | None] = {"llmopt": __version__, "python": platform.python_version()}
    for name in _MEASURED_WITH:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def load(path: Path) -> Spec:
    """The spec in a saved file: a spec.json, or only its fields with a `capability` among them.

    Raises:
        RequestError: no such file, not JSON, another schema, an unknown field, or a value that its field refuses.
    """
    return parse(_read(path), clean(str(path)))


def summary(key: str, values: Mapping[str, Any]) -> str:
    """What values of a capability's spec ask for, in a line, safe to show; of values that this version cannot read, as far as it goes."""
    if key not in CAPABILITIES:
        return ""
    kind = spec_class(key)
    known = {name: value for name, value in values.items() if name in kind.model_fields}
    try:
        return kind.parse(known).summary()
    except RequestError:
        asked = kind.model_construct(None, **known)
    try:
        return asked.summary()
    except (AttributeError, LookupError, TypeError, ValueError):
        return ""


def parse(saved: Any, where: str) -> Spec:
    """As `load`, for a document that was read from `where`."""
    if not isinstance(saved, dict):
        raise RequestError(f"{where} does not hold a saved spec: give a spec.json of an earlier run")
    if saved.get("schema") != SCHEMA:
        raise RequestError(f"{where} has schema {clean(repr(saved.get('schema')), limit=60)}, not {SCHEMA}: give a spec.json of this version")
    if unknown := sorted(set(saved) - _FIELDS):
        raise RequestError(f"{where} has the unknown field {clean(unknown[0], limit=60)}: remove it, or check its spelling")
    values, key = saved.get("spec"), saved.get("capability")
    if not isinstance(values, dict) or not isinstance(key, str):
        raise RequestError(f"{where} lacks the fields capability and spec: give a spec.json of an earlier run")
    try:
        return spec_class(key).parse(values | dict(_moved(values, saved.get("folder"))))
    except RequestError as error:
        raise RequestError(f"{where}: {clean(str(error))}") from error


def _moved(values: dict[str, object], folder: Any) -> Iterator[tuple[str, str]]:
    """Relative paths that are not found from here and were found from the folder in which the run was asked for."""
    if not isinstance(folder, str):
        return
    for name in _INPUTS:
        value = values.get(name)
        if not isinstance(value, str) or not value or "\0" in value + folder or Path(value).exists():
            continue
        if (there := Path(folder) / value).exists():
            yield name, str(there)


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except OSError as error:
        raise RequestError(f"cannot read the saved spec {clean(str(path))}: {(error.strerror or 'refused').lower()}") from error
    except ValueError as error:
        raise RequestError(f"{clean(str(path))} is not JSON ({clean(str(error), limit=80)}): give a spec.json of an earlier run") from error
