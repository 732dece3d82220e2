"""The settings file: TOML, in the user's configuration folder or at $LLMOPT_CONFIG.

The file is optional; pydantic is imported only when there is one to check.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le

from core.errors import RequestError
from core.sanitize import clean

FILE_NAME = "config.toml"


@dataclass(frozen=True)
class Settings:
    """What the settings file may say. Every field has a default; an unknown field is refused."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    theme: str | None = None
    """Name of a theme; default: chosen from what the terminal can show."""
    refresh_interval: Annotated[float, Ge(0.2), Le(60)] = 1.0
    """Seconds between two readings of the hardware."""
    read_only: bool = False
    """Refuse everything that changes the machine: killing processes, starting and cancelling runs."""
    colors: Literal["auto", "truecolor", "256", "16", "none"] = "auto"
    """Colours of the terminal, when the guess is wrong."""
    keymap: Mapping[str, str] = field(default_factory=dict)
    """Keys by binding id, for example `"app.help" = "f1,ctrl+g"`; F1 lists the ids."""
    engines: Mapping[str, str] = field(default_factory=dict)
    """Where engines live that have an environment of their own, for example `vllm = "/opt/vllm"`."""


def path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the settings file is looked for, whether or not it exists."""
    if named := environ.get("LLMOPT_CONFIG"):
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_config_dir("llmopt")) / FILE_NAME


def load(file: Path) -> Settings:
    """The settings of a file, or the defaults when it does not exist.

    Raises:
        RequestError: it cannot be read, is not TOML, or holds a value that cannot be used.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise RequestError(f"the settings file {clean(str(file))} cannot be read: {reason}") from error
    return parse(text, file)


def parse(text: str, file: Path) -> Settings:
    """Check the text of a settings file; `file` names it in the complaint."""
    import tomllib

    where = clean(str(file))
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"the settings file {where} is not valid TOML: {clean(str(error))}") from error
    from pydantic import TypeAdapter, ValidationError

    try:
        settings: Settings = TypeAdapter(Settings).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = clean(".".join(str(part) for part in first["loc"]), limit=80)
        if first["type"] == "unexpected_keyword_argument":
            raise RequestError(f"the settings file {where} has an unknown field {name}: remove it, or check its spelling") from error
        raise RequestError(f"the settings file {where}: {name} is invalid: {clean(_lower(first['msg']))}") from error
    return settings


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
