"""Which linears a `quantization_config` leaves in full precision, in the words of each method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from core.formats.patterns import NamePattern

LeavesOut = Callable[[str], bool]
"""From the full name of a linear to whether it is left out."""

_LISTS = ("modules_to_not_convert", "llm_int8_skip_modules")


def left_out_by(config: Mapping[str, object]) -> LeavesOut | None:
    """The rule of a `quantization_config`; None where its method has none, because loaders go by the tensors.

    Raises:
        RequestError: an expression in it is none.
    """
    rule = _RULES.get(str(config.get("quant_method")))
    return None if rule is None else rule(config)


class _Names:
    """Full names, and expressions after `re:`."""

    def __init__(self, targets: Iterable[str]) -> None:
        every = list(targets)
        self._exact = {target for target in every if not target.startswith("re:")}
        self._patterns = [NamePattern(target.removeprefix("re:")) for target in every if target.startswith("re:")]

    def mean(self, linear: str) -> bool:
        return linear in self._exact or any(pattern.matches(linear) for pattern in self._patterns)


def _compressed_tensors(config: Mapping[str, object]) -> LeavesOut:
    groups = config.get("config_groups")
    tables = [group for group in (groups.values() if isinstance(groups, Mapping) else ()) if isinstance(group, Mapping)]
    targets = [target for group in tables for target in _texts(group.get("targets", ["Linear"]))]
    ignored, wanted, all_wanted = _Names(_texts(config.get("ignore"))), _Names(targets), "Linear" in targets
    return lambda linear: ignored.mean(linear) or not (all_wanted or wanted.mean(linear))


def _gptq(config: Mapping[str, object]) -> LeavesOut:
    dynamic = config.get("dynamic")
    rules = [
        (NamePattern(key.removeprefix("-:").removeprefix("+:")), key.startswith("-:"))
        for key in _texts(list(dynamic) if isinstance(dynamic, Mapping) else [])
    ]
    inside = config.get("modules_in_block_to_quantize")
    wanted = tuple(name for part in (inside if isinstance(inside, list) else []) for name in _texts(part if isinstance(part, list) else [part]))

    def rule(linear: str) -> bool:
        if linear == "lm_head":
            return not config.get("lm_head")
        stated = next((left_out for pattern, left_out in rules if pattern.matches(linear)), None)
        return bool(wanted) and not linear.endswith(wanted) if stated is None else stated

    return rule


def _listed(config: Mapping[str, object]) -> LeavesOut:
    """As transformers reads such lists: a part of the name, full parts between dots."""
    names = [f".{name}." for key in _LISTS for name in _texts(config.get(key))]
    return lambda linear: linear == "lm_head" or any(name in f".{linear}." for name in names)


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


_RULES: dict[str, Callable[[Mapping[str, object]], LeavesOut]] = {"compressed-tensors": _compressed_tensors, "gptq": _gptq, "awq": _listed}
