"""Where engines live that have an environment of their own: a Python, a folder of an environment, or a program.

`LLMOPT_ENGINE_VLLM=/opt/vllm`, or in the settings file `[engines]` with `vllm = "/opt/vllm"`; the variable wins.
"""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from core.errors import RequestError
from core.sanitize import clean

_LARGEST = 1 << 20


def variable(engine: str) -> str:
    """The environment variable that names an engine's place."""
    return "LLMOPT_ENGINE_" + engine.upper().replace("-", "_")


def configured(engine: str, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The place that is configured for an engine; None when there is none.

    Raises:
        RequestError: what is configured is not there, or the settings file cannot be read.
    """
    named = environ.get(variable(engine)) or _from_file(engine, environ)
    if not named:
        return None
    path = Path(named).expanduser()
    if not path.exists():
        raise RequestError(f"{clean(str(path), limit=200)}, configured for {engine}, does not exist: correct {variable(engine)} or the settings file")
    return path


def program(engine: str, name: str, environ: Mapping[str, str] = os.environ) -> tuple[str, ...] | None:
    """How to call the program `name` of an engine: from its configured place, next to this Python, or on the path; None when it is nowhere.

    Raises:
        RequestError: something is configured that does not hold the program.
    """
    place = configured(engine, environ)
    if place is None:
        beside = Path(sys.executable).with_name(name)
        found = str(beside) if beside.exists() else shutil.which(name, path=environ.get("PATH"))
        return (found,) if found else None
    for candidate in (place / "bin" / name, place / name, place.with_name(name)):
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return (str(candidate),)
    if place.is_file() and os.access(place, os.X_OK) and not place.name.startswith("python"):
        return (str(place),)
    raise RequestError(f"{clean(str(place), limit=200)}, configured for {engine}, has no program {name}: give the folder of its environment")


def python(engine: str, environ: Mapping[str, str] = os.environ) -> str:
    """The Python that has an engine's package: of its configured place, else this one.

    Raises:
        RequestError: something is configured that holds no Python.
    """
    place = configured(engine, environ)
    if place is None:
        return sys.executable
    for candidate in (place / "bin" / "python", place.with_name("python"), place):
        if candidate.is_file() and os.access(candidate, os.X_OK) and candidate.name.startswith("python"):
            return str(candidate)
    raise RequestError(f"{clean(str(place), limit=200)}, configured for {engine}, has no Python: give the folder of its environment")


def _from_file(engine: str, environ: Mapping[str, str]) -> str:
    named = environ.get("LLMOPT_CONFIG")
    file = Path(named).expanduser() if named else platformdirs.user_config_path("llmopt") / "config.toml"
    try:
        if file.stat().st_size > _LARGEST:
            return ""
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        raise RequestError(f"the settings file {clean(str(file))} cannot be read: {clean(str(error), limit=160)}") from error
    engines = settings.get("engines")
    found = engines.get(engine) if isinstance(engines, dict) else None
    return found if isinstance(found, str) else ""
