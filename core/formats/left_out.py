"""Which linears a `quantization_config` leaves in full precision, in the words of each method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.formats.patterns import NamePattern

_LISTS = ("modules_to_not_convert", "llm_int8_skip_modules")


def leaves_out(config: Mapping[str, Any], linear: str) -> bool | None:
    """Whether a linear is left out; None where the method does not say, because loaders go by the tensors.

    Args:
        config: a `quantization_config`.
        linear: full name of a linear.

    Raises:
        RequestError: an expression in it is none.
    """
    rule = _RULES.get(str(config.get("quant_method")))
    return None if rule is None else rule(config, linear)


def _compressed_tensors(config: Mapping[str, Any], linear: str) -> bool:
    if any(_means(target, linear) for target in _texts(config.get("ignore"))):
        return True
    groups = config.get("config_groups")
    tables = [group for group in (groups.values() if isinstance(groups, Mapping) else ()) if isinstance(group, Mapping)]
    targets = [target for group in tables for target in _texts(group.get("targets", ["Linear"]))]
    return not any(target == "Linear" or _means(target, linear) for target in targets)


def _means(target: str, linear: str) -> bool:
    return NamePattern(target.removeprefix("re:")).matches(linear) if target.startswith("re:") else target == linear


def _gptq(config: Mapping[str, Any], linear: str) -> bool:
    if linear == "lm_head":
        return not config.get("lm_head")
    dynamic = config.get("dynamic")
    for key in _texts(list(dynamic)) if isinstance(dynamic, Mapping) else ():
        if NamePattern(key.removeprefix("-:").removeprefix("+:")).matches(linear):
            return bool(key.startswith("-:"))
    inside = config.get("modules_in_block_to_quantize")
    wanted = [name for part in (inside if isinstance(inside, list) else []) for name in _texts(part if isinstance(part, list) else [part])]
    return bool(wanted) and not any(linear.endswith(name) for name in wanted)


def _listed(config: Mapping[str, Any], linear: str) -> bool:
    """As transformers reads such lists: a part of the name, full parts between dots."""
    names = [name for key in _LISTS for name in _texts(config.get(key))]
    return linear == "lm_head" or any(linear == name or f".{name}." in f".{linear}." for name in names)


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


_RULES = {"compressed-tensors": _compressed_tensors, "gptq": _gptq, "awq": _listed}
