"""Checkpoints in auto-round's own format (`quant_method: auto-round`): GPTQ's or AWQ's tensors under another description.

Source: auto-round's `inference/backend.py`, which decides by `packing_format` whether zero points are stored less one.
"""

from __future__ import annotations

from collections.abc import Mapping

from core.errors import RequestError
from core.formats.base import Format
from core.formats.layouts.awq import Awq
from core.formats.layouts.dynamic import Overrides
from core.formats.layouts.gptq import Gptq
from core.formats.reading import field
from core.sanitize import clean

_VERSION_2 = (
    "auto_round",
    "auto_round:gptqmodel",
    "auto_round:exllamav2",
    "auto_round:tritonv2",
    "auto_round:torch",
    "auto_round:gptqmodel:exllamav2",
)
_UNQUANTIZED_BITS = 16


class AutoRound:
    """Names the format that such a checkpoint really has."""

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> Format:
        """GPTQ of version 1 or 2, or AWQ. Raises RequestError: a scheme that cannot be read, in one sentence."""
        packing = config.get("packing_format") or config.get("backend") or "auto_round:auto_gptq"
        kind, act_bits = config.get("data_type", "int"), config.get("act_bits")
        if kind != "int" or (isinstance(act_bits, int) and act_bits < _UNQUANTIZED_BITS):
            what = f"{kind} with activations of {act_bits} bits"
            raise RequestError(f"auto-round weights of the kind {clean(what, limit=80)} cannot be read: only integers with 16-bit activations can")
        if not isinstance(packing, str) or "llm_compressor" in packing or "fp8" in packing:
            raise RequestError(f"auto-round's packing_format {clean(str(packing), limit=60)!r} cannot be read: export with auto_gptq or auto_awq")
        if "awq" in packing:
            return Awq.from_config({**_plain(config), "zero_point": not field(config, "sym", bool, True)})
        version = 2 if packing in _VERSION_2 else 1
        scheme = Gptq.from_config({**_plain(config), "checkpoint_format": "gptq_v2" if version == 2 else "gptq"})
        return scheme.with_overrides(Overrides.from_extra(config.get("extra_config")))


def _plain(config: Mapping[str, object]) -> dict[str, object]:
    return {name: config[name] for name in ("bits", "group_size", "sym") if name in config}
