"""A model folder as a GGUF file: tensors read one by one, changed into llama.cpp's layout, and written at once.

The tensors are byte for byte those of llama.cpp's own converter (tests/benchmarks/formats/gguf_conversion.py shows it).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from core.errors import RequestError, RunFailed
from core.formats.gguf.blocks import BLOCKS, FILE_TYPES
from core.formats.gguf.families import EMBEDDING, HEAD, GgufFamily, family_of, is_norm, permuted_heads, tensor_name
from core.formats.gguf.write.entries import Entry
from core.formats.gguf.write.metadata import QUANTIZATION_VERSION, Layout, layout_of, model_entries, notes_on, rope_factors
from core.formats.gguf.write.tokenizer import tokenizer_keys
from core.formats.gguf.write.writer import PlannedTensor, write_gguf
from core.models.disk.files import shown
from core.models.disk.headers import TensorLocation, model_tensors
from core.models.disk.tensors import TensorReader, check_finite
from core.models.disk.weight_plan import plan_weights
from core.models.stream.skeleton import build_skeleton, load_config
from core.sanitize import clean

_LARGEST_HALF = 65504.0
_ROWS_AT_ONCE = 4096
_STORED = {"F32": "F32", "F16": "F16", "BF16": "BF16", "F64": "F32"}
_ORDER = {"token_embd.weight": (-1, ""), "output_norm.weight": (2**31, "a"), "output.weight": (2**31, "b")}


@dataclass(frozen=True)
class Conversion:
    """What will be written; nothing of the weights has been read yet."""

    folder: Path
    family: GgufFamily
    layout: Layout
    entries: list[Entry]
    locations: dict[str, TensorLocation]
    """Tensors of the folder by their names in GGUF."""
    parameters: dict[str, str]
    """Name in GGUF -> name in the model."""
    factors: dict[str, list[float]]
    notes: list[str] = field(default_factory=list)

    @property
    def stored(self) -> str:
        """The type, of F32, F16 and BF16, that holds the folder's matrices without loss."""
        kinds = {location.info.dtype for location in self.locations.values() if len(location.info.shape) > 1}
        return _STORED[kinds.pop()] if len(kinds) == 1 and kinds <= set(_STORED) else "F32"


def plan_conversion(folder: Path, name: str) -> Conversion:
    """Read everything but the weights and see that GGUF has a place for all of it.

    Args:
        folder: of the model, with plain weights.
        name: of the model, for people.

    Raises:
        RequestError: a family, configuration, tensor or tokenizer that GGUF has no place for.
    """
    config: dict[str, object] = load_config(folder).to_dict()
    family = family_of(str(config.get("model_type")))
    stored = _by_parameter(folder)
    layout = _with_head(layout_of(family, config), stored)
    locations: dict[str, TensorLocation] = {}
    parameters: dict[str, str] = {}
    for parameter, location in stored.items():
        target = tensor_name(family, parameter)
        if target is None or (target == "output.weight" and layout.tied):
            continue
        if location.info.dtype not in _STORED:
            raise RequestError(
                f"the tensor {clean(parameter, limit=200)!r} in {shown(location.file)} is stored as {location.info.dtype}: "
                "GGUF is written from weights in bf16, fp16 or fp32, give the original model"
            )
        locations[target], parameters[target] = location, parameter
    _check_complete(layout, locations, folder)
    names = sorted(locations, key=lambda name: _ORDER.get(name) or (int(name.split(".")[1]), name))
    tokenizer = tokenizer_keys(folder, family, layout.vocabulary, clean(name, limit=200))
    entries = [Entry("general.type", "model", "string"), Entry("general.name", tokenizer.model_name, "string")]
    return Conversion(
        folder,
        family,
        layout,
        entries + model_entries(layout, config) + tokenizer.entries,
        {name: locations[name] for name in names},
        {name: parameters[name] for name in names},
        rope_factors(layout, config),
        [*notes_on(layout, config), *tokenizer.notes],
    )


def _by_parameter(folder: Path) -> dict[str, TensorLocation]:
    """The folder's tensors by the parameters that transformers makes of them; one that it makes nothing of keeps its name."""
    tensors = model_tensors(folder)
    plan = plan_weights(build_skeleton(folder, torch.float32), tensors)
    parameters = {group.pieces[0][0]: group.target for group in plan.groups if group.converter is None}
    return {parameters.get(name, name): location for name, location in tensors.items()}


def _with_head(layout: Layout, stored: dict[str, TensorLocation]) -> Layout:
    """The layout as transformers ties the weights: a stored head that is not the embedding counts, whatever config.json says.

    Raises:
        RequestError: there is such a head, and llama.cpp's model of the family has no place for it.
    """
    if not layout.tied:
        return layout
    if EMBEDDING not in stored and HEAD in stored:
        stored[EMBEDDING] = stored.pop(HEAD)
    if HEAD not in stored or _same_values(stored[HEAD], stored[EMBEDDING]):
        return layout
    if layout.family.head_always_tied:
        raise RequestError(
            f"the model has an output head of its own ({HEAD} differs from the embedding), and llama.cpp has none for "
            f"{layout.family.model_type} models: tie them, or choose another format"
        )
    return replace(layout, tied=False)


def _same_values(first: TensorLocation, second: TensorLocation) -> bool:
    if first.info.shape != second.info.shape:
        return False
    with TensorReader() as reader:
        pairs = zip(torch.split(reader.read(first), _ROWS_AT_ONCE), torch.split(reader.read(second), _ROWS_AT_ONCE), strict=True)
        return all(torch.equal(of_first.float(), of_second.float()) for of_first, of_second in pairs)


def convert(conversion: Conversion, path: Path, level: str, each: Callable[[str], None] = lambda _: None) -> int:
    """Write the file.

    Args:
        conversion: what to write.
        path: of the file.
        level: F32, F16, BF16 or Q8_0.
        each: called with the name of each tensor before it is read; may raise to cancel.

    Returns:
        Bytes of the file.

    Raises:
        RequestError: a tensor holds NaN or Inf.
        RunFailed: the disk is full, or a weight is too large for half precision.
    """
    kinds = [Entry("general.file_type", FILE_TYPES[level], "uint32"), Entry("general.quantization_version", QUANTIZATION_VERSION, "uint32")]
    with TensorReader() as reader:
        planned = [
            PlannedTensor(name, (len(values),), "F32", partial(torch.tensor, values, dtype=torch.float32))
            for name, values in conversion.factors.items()
        ]
        planned += [
            PlannedTensor(name, location.info.shape, block_of(name, location.info.shape, level), partial(_load, conversion, name, reader, level))
            for name, location in conversion.locations.items()
        ]
        return write_gguf(path, conversion.family.architecture, [*conversion.entries, *kinds], planned, lambda tensor: each(tensor.name))


def block_of(name: str, shape: tuple[int, ...], level: str) -> str:
    """ggml's type of a tensor at a level that is written here: vectors and norms stay in F32, rows that fill no blocks in F16."""
    if len(shape) < 2 or name.endswith("_norm.weight") or not name.endswith(".weight"):
        return "F32"
    return "F16" if shape[-1] % BLOCKS[level][0] else level


def _load(conversion: Conversion, name: str, reader: TensorReader, level: str) -> Tensor:
    """A tensor of the folder in llama.cpp's layout."""
    location, parameter, layout = conversion.locations[name], conversion.parameters[name], conversion.layout
    tensor = reader.read(location)
    check_finite(parameter, tensor, shown(location.file))
    heads = permuted_heads(conversion.family, parameter, layout.heads, layout.kv_heads)
    if heads is not None:
        tensor = permute(tensor, heads)
    if conversion.family.norm_offset and is_norm(parameter):
        tensor = tensor.to(torch.float32) + conversion.family.norm_offset
    block = block_of(name, location.info.shape, level)
    if block == "F16" and tensor.dtype != torch.float16 and tensor.numel() and float(tensor.abs().max()) > _LARGEST_HALF:
        raise RunFailed(
            f"the tensor {clean(parameter, limit=200)!r} holds weights above {_LARGEST_HALF:g}, too large for F16: choose level BF16 or F32"
        )
    return tensor


def permute(rows: Tensor, heads: int) -> Tensor:
    """Rows of a query or key (or its bias) as llama.cpp's rotary embedding wants them: the two values that are rotated together side by side."""
    return rows.view(heads, 2, rows.shape[0] // heads // 2, -1).transpose(1, 2).reshape(rows.shape)


def unpermute(rows: Tensor, heads: int) -> Tensor:
    """The way back from `permute`."""
    return rows.view(heads, rows.shape[0] // heads // 2, 2, -1).transpose(1, 2).reshape(rows.shape)


def _check_complete(layout: Layout, locations: dict[str, TensorLocation], folder: Path) -> None:
    """Refuse a folder in which a matrix of a block, a norm or an embedding is missing or of another size than config.json makes it."""
    wanted = ["token_embd.weight", "output_norm.weight", *([] if layout.tied else ["output.weight"])]
    wanted += [f"blk.{block}.{module}.weight" for block in range(layout.layers) for module in layout.family.modules.values()]
    for name in wanted:
        if name not in locations:
            raise RequestError(f"{shown(folder)} has no tensor that would become {name}: fetch the model again")
    extra = next((name for name in locations if name.startswith("blk.") and int(name.split(".")[1]) >= layout.layers), None)
    if extra is not None:
        raise RequestError(f"{shown(folder)} has weights of more blocks than the {layout.layers} of its config.json: they do not belong together")
    width = layout.heads * layout.head_dim
    expected = {"token_embd.weight": (layout.vocabulary, layout.hidden), "output.weight": (layout.vocabulary, layout.hidden)}
    for block in range(layout.layers):
        expected |= {f"blk.{block}.attn_q.weight": (width, layout.hidden), f"blk.{block}.attn_output.weight": (layout.hidden, width)}
    for name, shape in expected.items():
        if name in locations and locations[name].info.shape != shape:
            raise RequestError(
                f"the tensor {name} would have the shape {list(locations[name].info.shape)}, and config.json makes it {list(shape)}: "
                "the weights do not belong to this config.json"
            )
