"""What integer grids have in common, whichever method rounds to them: bytes, what their formats can hold, and their words."""

from __future__ import annotations

from core.models.card import LinearShape
from core.numerics.widths import packed_words
from core.quantize.plan.request import Request

WIDTHS = (2, 3, 4, 5, 6, 7, 8)
FORMATS = ("compressed-tensors", "gptq", "awq")

_SCALE_BYTES = 2
_SHARE = {
    "group": "one scale per {} adjacent weights of a row",
    "channel": "one scale per row",
    "tensor": "one scale per matrix",
    "block": "one scale per block of {} weights",
}
_SCOPES = {"channel": "per channel", "tensor": "per tensor"}
_SIZED = {"block": "b"}


def integer_bytes(request: Request, linear: LinearShape) -> int:
    """Packed codes, scales in 16 bits, packed zero points, which GPTQ and AWQ keep always, and GPTQ's group index."""
    rows, columns = linear.out_features, linear.in_features
    groups = {"group": columns // request.group_size}.get(request.granularity, 1)
    scales = 1 if request.granularity == "tensor" else rows * groups
    zeros = 4 * packed_words(rows, request.bits) * groups if not request.symmetric or request.format in ("gptq", "awq") else 0
    index = 4 * columns if request.format == "gptq" else 0
    return 4 * rows * packed_words(columns, request.bits) + _SCALE_BYTES * scales + zeros + index


def unstorable(request: Request) -> str | None:
    """Why the checkpoint format cannot hold what is asked for, and what can; None when it can."""
    rounded_inputs = request.activation_bits == 8
    if request.format == "awq" and (request.bits != 4 or request.granularity != "group" or rounded_inputs):
        return "the AWQ format supports only 4-bit weights in groups: choose format compressed-tensors"
    if request.format == "gptq" and (request.bits not in (2, 3, 4, 8) or request.granularity == "tensor" or rounded_inputs):
        return "the GPTQ format supports 2, 3, 4 or 8 bits in groups or channels, with plain activations: choose format compressed-tensors"
    return None


def no_kernel(request: Request) -> str | None:
    """Why engines have no kernel for rounded inputs next to these weights; None when they have one, or inputs stay as they are."""
    if request.activation_bits == 8 and (request.bits != 8 or request.granularity != "channel" or not request.symmetric):
        return "activation-bits 8 needs bits 8, granularity channel and a symmetric grid: engines have no other W8A8 kernel"
    return None


def shares(request: Request) -> str:
    """What shares a scale, as a part of a checkpoint's name: `g128`, `channel`."""
    return {"group": f"g{request.group_size}", "channel": "channel", "tensor": "tensor", "block": f"b{request.group_size}"}[request.granularity]


def share_words(request: Request) -> str:
    """What shares a scale, for people: `one scale for 128 neighbouring weights of a row`."""
    return _SHARE[request.granularity].format(request.group_size)


def grid_words(request: Request) -> str:
    """The grid, for people: `symmetric integer grid, one scale per row`."""
    return f"{'symmetric' if request.symmetric else 'asymmetric'} integer grid, {share_words(request)}"


def input_words(request: Request) -> str:
    """What becomes of activations, to be appended to the words for weights; empty when nothing does."""
    return f", inputs rounded to 8 bits ({request.activation_scales} scales)" if request.activation_bits == 8 else ""


def scope(request: Request) -> str:
    """What shares a scale, in a line that names a run: `g128`, `per channel`."""
    granularity = str(request.granularity)
    return _SCOPES.get(granularity) or f"{_SIZED.get(granularity, 'g')}{request.group_size}"


def short(value: object) -> str:
    """A number without trailing zeros, anything else as it is."""
    return f"{value:g}" if isinstance(value, int | float) else str(value)
