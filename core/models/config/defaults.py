"""What transformers knows about configurations, read from its source text: torch and transformers are not imported.

A `config.json` may leave out what its class fills in, and only transformers knows those defaults and which `model_type`s exist.
"""

from __future__ import annotations

import ast
import importlib.util
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

_ARITHMETIC = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
}
_MAX_BASES = 5
_PARSING = Lock()
"""Python 3.11 raises SystemError when several threads make syntax trees at once."""


@dataclass(frozen=True)
class ConfigDefaults:
    """Default values of a configuration class, and its standard name -> own name table (`hidden_size` -> `n_embd`)."""

    values: Mapping[str, object] = field(default_factory=dict)
    attribute_map: Mapping[str, str] = field(default_factory=dict)


@cache
def model_types() -> frozenset[str]:
    """Every `model_type` that the installed transformers knows; empty when its tables cannot be read."""
    names: set[str] = set()
    for file in ("auto_mappings.py", "configuration_auto.py"):
        names |= set(_string_pairs(file, "CONFIG_MAPPING_NAMES"))
    return frozenset(names)


@cache
def causal_model_types() -> frozenset[str]:
    """The `model_type`s that have a causal language model; empty when transformers' tables cannot be read."""
    return frozenset(_string_pairs("modeling_auto.py", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"))


@cache
def config_defaults(model_type: str) -> ConfigDefaults:
    """Defaults of the configuration class with this `model_type`; empty when it is unknown or cannot be read."""
    models = _models_folder()
    if models is None or not model_type.replace("_", "").replace("-", "").isalnum():
        return ConfigDefaults()
    module = _string_pairs("auto_mappings.py", "SPECIAL_MODEL_TYPE_TO_MODULE_NAME").get(model_type, model_type.replace("-", "_"))
    if not module.replace("_", "").isalnum():
        return ConfigDefaults()
    path = models / module / f"configuration_{module}.py"
    tree = _tree(path)
    for node in tree.body if tree else []:
        if isinstance(node, ast.ClassDef) and _body_values(node).get("model_type") == model_type:
            return _class_defaults(path, node, _MAX_BASES)
    return ConfigDefaults()


def _class_defaults(path: Path, node: ast.ClassDef, bases_left: int) -> ConfigDefaults:
    values: dict[str, object] = {}
    names: dict[str, str] = {}
    for base in node.bases if bases_left else []:
        if isinstance(base, ast.Name) and (found := _find_class(path, base.id)) is not None:
            inherited = _class_defaults(*found, bases_left - 1)
            values |= inherited.values
            names |= inherited.attribute_map
    own = _body_values(node)
    own_map = own.pop("attribute_map", {})
    return ConfigDefaults(values | own, names | (own_map if isinstance(own_map, dict) else {}))


def _body_values(node: ast.ClassDef) -> dict[str, object]:
    """Literal class attributes, and literal defaults of `__init__`'s arguments."""
    values: dict[str, object] = {}
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value is not None:
            _put(values, statement.target.id, statement.value)
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            _put(values, statement.targets[0].id, statement.value)
        elif isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            arguments = statement.args
            for argument, default in zip(reversed(arguments.args), reversed(arguments.defaults), strict=False):
                _put(values, argument.arg, default)
    return values


def _put(values: dict[str, object], name: str, node: ast.expr) -> None:
    try:
        values[name] = _literal(node)
    except (ValueError, TypeError, ArithmeticError):
        values.pop(name, None)


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        return _ARITHMETIC[type(node.op)](_literal(node.left), _literal(node.right))
    return ast.literal_eval(node)


def _find_class(path: Path, name: str) -> tuple[Path, ast.ClassDef] | None:
    """A class by name in this configuration file, or in the sibling model's that it imports it from."""
    tree = _tree(path)
    for node in tree.body if tree else []:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return path, node
        if isinstance(node, ast.ImportFrom) and node.level == 2 and node.module and any(alias.name == name for alias in node.names):
            other = path.parent.parent.joinpath(*node.module.split(".")).with_suffix(".py")
            for candidate in getattr(_tree(other), "body", []):
                if isinstance(candidate, ast.ClassDef) and candidate.name == name:
                    return other, candidate
    return None


@cache
def _string_pairs(file: str, name: str) -> dict[str, str]:
    """All `("a", "b")` and `"a": "b"` pairs in the assignments to, and updates of, the table `name` of transformers.models.auto."""
    models = _models_folder()
    tree = _tree(models / "auto" / file) if models else None
    pairs: dict[str, str] = {}
    for node in tree.body if tree else []:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr) and name in _names(node):
            for part in ast.walk(node):
                _collect(part, pairs)
    return pairs


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _collect(node: ast.AST, pairs: dict[str, str]) -> None:
    if isinstance(node, ast.Tuple) and len(node.elts) == 2:
        candidates = [(node.elts[0], node.elts[1])]
    elif isinstance(node, ast.Dict):
        candidates = [(key, value) for key, value in zip(node.keys, node.values, strict=True) if key is not None]
    else:
        return
    for key, value in candidates:
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            pairs[key.value] = value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def _tree(path: Path) -> ast.Module | None:
    try:
        with _PARSING:
            return ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return None


@cache
def _models_folder() -> Path | None:
    try:
        spec = importlib.util.find_spec("transformers")
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "models"
