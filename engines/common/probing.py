"""What an installed engine is: its version, and which flags it knows."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import lru_cache
from os import environ

from core.sanitize import clean

_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9_-]*")
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?[\w.+-]*")
_WITHIN = 90.0


@lru_cache(maxsize=64)
def output(program: tuple[str, ...], arguments: tuple[str, ...], extra: tuple[tuple[str, str], ...] = ()) -> str:
    """What a program prints, both streams; "" when it fails or takes too long."""
    try:
        done = subprocess.run(
            [*program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_WITHIN,
            env=dict(environ) | dict(extra),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")


def version(program: tuple[str, ...], arguments: Sequence[str] = ("--version",), environment: Mapping[str, str] | None = None) -> str:
    """The version that a program reports; "" when it reports none."""
    text = output(program, tuple(arguments), tuple(sorted((environment or {}).items())))
    found = _VERSION.findall(text)
    return clean(found[-1], limit=40) if found else ""


def package_version(python: str, package: str) -> str:
    """The version of a package in the environment of a Python; "" when it is not there."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    text = output((python,), ("-c", code)).strip()
    return clean(text, limit=40) if _VERSION.fullmatch(text) else ""


def has_module(python: str, module: str) -> bool:
    """Whether a Python finds a module, wherever it is started from."""
    code = f"import sys; sys.path = [place for place in sys.path if place]; import importlib.util as u; print(u.find_spec({module!r}) is not None)"
    return output((python,), ("-c", code)).strip() == "True"


def flags(program: tuple[str, ...], arguments: Sequence[str] = ("--help",), environment: Mapping[str, str] | None = None) -> frozenset[str]:
    """Flags that a program's help names; empty when it has no help."""
    return frozenset(_FLAG.findall(output(program, tuple(arguments), tuple(sorted((environment or {}).items())))))
