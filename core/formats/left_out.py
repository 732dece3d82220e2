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
    ignored = [target for target in config.get("ignore") or () if isinstance(target, str)]
    if any(_means(target, linear) for target in ignored):
        return True
    groups = config.get("config_groups")
    targets = [target for group in (groups.values() if isinstance(groups, Mapping) else ()) for target in group.get("targets") or ("Linear",)]
    return not any(target == "Linear" or _means(str(target), linear) for target in targets)


def _means(target: str, linear: str) -> bool:
    return NamePattern(target.removeprefix("re:")).matches(linear) if target.startswith("re:") else target == linear


def _gptq(config: Mapping[str, Any], linear: str) -> bool:
    if linear == "lm_head":
        return not config.get("lm_head")
    dynamic = config.get("dynamic")
    for key in dynamic if isinstance(dynamic, Mapping) else ():
        if NamePattern(key.removeprefix("-:").removeprefix("+:")).matches(linear):
            return bool(key.startswith("-:"))
    inside = config.get("modules_in_block_to_quantize") or ()
    wanted = [name for part in inside for name in (part if isinstance(part, list) else [part])]
    return bool(wanted) and not any(linear.endswith(str(name)) for name in wanted)


def _listed(config: Mapping[str, Any], linear: str) -> bool:
    """As transformers reads such lists: a part of the name, full parts between dots."""
    names = [name for key in _LISTS for name in config.get(key) or () if isinstance(name, str)]
    return linear == "lm_head" or any(linear == name or f".{name}." in f".{linear}." for name in names)


_RULES = {"compressed-tensors": _compressed_tensors, "gptq": _gptq, "awq": _listed}
