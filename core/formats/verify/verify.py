"""Look at every tensor of a checkpoint, ours or anybody's, and say what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from core.errors import RequestError
from core.formats.gguf.read.opening import file_tokenizer
from core.formats.gguf.read.reader import GgufFile
from core.formats.gguf.read.weights import GgufWeights
from core.formats.left_out import left_out_by
from core.formats.opening import open_streamed, quantized_weights
from core.formats.verify.checks import CheckBook
from core.formats.weights import QuantizedWeights
from core.models.config.quantization import quantization_of
from core.models.disk.files import read_object
from core.models.disk.headers import model_tensors
from core.models.disk.tensors import TensorReader, check_finite
from core.models.load import load_tokenizer
from core.models.stream.streaming import StreamedModel
from core.numerics.nf4 import NestedScales
from core.numerics.stored import StoredWeight
from core.sanitize import clean

OnTensor = Callable[[str], None]
"""Told the name of each linear or tensor before it is read; may raise to cancel."""

_GGUF_PLAIN = ("F64", "F32", "F16", "BF16")
_KIND_OF_PART = {
    "qzeros": "zero points",
    "weight_zero_point": "zero points",
    "checkpoint_format": "zero points",
    "g_idx": "groups",
    "names the group": "groups",
    "scales": "scales",
    "weight_scale": "scales",
    "input_scale": "scales",
    "absmax": "scales",
}
"""What a complaint says about a tensor, and the check that it belongs to; anything else is about packing."""


@dataclass
class Seen:
    """What a checkpoint turned out to be."""

    format: str
    scheme: str
    linears: int
    """That are quantized."""
    weights: int
    """In these."""
    bytes_quantized: int
    bytes: int
    """Of all tensors."""
    rounds_inputs: bool

    @property
    def bits_per_quantized_weight(self) -> float | None:
        """Scales, zero points and group indices counted."""
        return 8 * self.bytes_quantized / self.weights if self.weights else None


def look_at_folder(folder: Path, book: CheckBook, on_tensor: OnTensor) -> Seen:
    """Make every check that needs no evaluation.

    Args:
        folder: a model folder with sound safetensors headers.
        book: takes what is found.
        on_tensor: see `OnTensor`.
    """
    files = model_tensors(folder)
    seen = Seen("plain", "not quantized", 0, 0, 0, sum(location.info.nbytes for location in files.values()), False)
    weights = _open_weights(folder, book)
    if weights is None and book.failed:
        seen.format, seen.scheme = "unknown", "not read"
    if weights is not None:
        seen.format, seen.scheme = weights.format.name, weights.format.scheme
        _look_at_linears(weights, seen, book, on_tensor)
    if not book.failed:
        _look_at_the_rest(folder, weights, book, on_tensor)
    _look_at_the_model(folder, weights, book)
    try:
        book.fact("tokenizer", f"{len(load_tokenizer(folder)):,} tokens")
    except RequestError as error:
        book.complain("tokenizer", str(error))
    return seen


def look_at_gguf(path: Path, book: CheckBook, on_tensor: OnTensor) -> Seen:
    """Make every check of a GGUF file that needs no evaluation; arguments as of `look_at_folder`."""
    seen = Seen("gguf", "not read", 0, 0, 0, 0, False)
    try:
        file = GgufFile(path)
        types = Counter[str]()
        for name, tensor in file.tensors.items():
            types[file.block(name)] += tensor.numel
    except RequestError as error:
        book.complain("packing" if "the tensor" in str(error) else "configuration", str(error))
        return seen
    seen.scheme, seen.bytes = " and ".join(kind for kind, _ in types.most_common(3)), file.file_bytes
    book.fact("packing", ", ".join(f"{kind} {count / types.total():.1%}" for kind, count in types.most_common()))
    for name, tensor in file.tensors.items():
        on_tensor(name)
        if file.block(name) not in _GGUF_PLAIN:
            seen.linears, seen.weights, seen.bytes_quantized = seen.linears + 1, seen.weights + tensor.numel, seen.bytes_quantized + file.nbytes(name)
        try:
            check_finite(name, file.read(name), clean(path.name, limit=120))
        except RequestError as error:
            book.complain("finite", str(error))
    book.fact("finite", f"{len(file.tensors)} tensors")
    try:
        with open_streamed(path) as streamed:
            book.fact("configuration", f"{streamed.config.model_type} of {streamed.n_blocks} blocks")
            book.fact("names", f"{len(file.tensors)} tensors for {streamed.n_blocks} blocks")
            for name in sorted(set(file.tensors) - set(GgufWeights(path).names.values())):
                if not name.startswith("rope_f"):
                    book.complain("names", f"{clean(name, limit=120)} is not part of the model", "warn")
            book.fact("tokenizer", f"{len(file_tokenizer(path)):,} tokens")
    except RequestError as error:
        book.complain("tokenizer" if "tokenizer" in str(error) else "names" if "tensor" in str(error) else "configuration", str(error))
    return seen


def _open_weights(folder: Path, book: CheckBook) -> QuantizedWeights | None:
    try:
        config = quantization_of(read_object(folder / "config.json"), folder)
        weights = quantized_weights(folder)
    except RequestError as error:
        book.complain("names" if "the tensor" in str(error) else "configuration", str(error))
        return None
    described = (
        "no quantization_config: the weights are plain" if config is None or weights is None else f"{weights.format.name} {weights.format.scheme}"
    )
    book.fact("configuration", described)
    return weights


def _look_at_linears(weights: QuantizedWeights, seen: Seen, book: CheckBook, on_tensor: OnTensor) -> None:
    tally = _Tally(book)
    for linear in weights.linears:
        on_tensor(linear)
        parts = [part for part in weights.format.parts(linear) if part in weights.files]
        try:
            stored = weights.stored(linear)
        except RequestError as error:
            book.complain(_check_of(str(error)), str(error))
            continue
        seen.linears += 1
        seen.weights += stored.shape[0] * stored.shape[1]
        seen.bytes_quantized += sum(weights.files[part].info.nbytes for part in parts)
        seen.rounds_inputs |= stored.activations is not None
        tally.add(linear, stored)
    tally.close()
    book.fact("packing", f"{seen.linears} linears with {seen.weights:,} weights")


def _check_of(sentence: str) -> str:
    return next((check for words, check in _KIND_OF_PART.items() if words in sentence), "packing")


class _Tally:
    """Ranges over all linears."""

    def __init__(self, book: CheckBook) -> None:
        self._book = book
        self._scales: list[tuple[float, float]] = []
        self._zeros: list[tuple[int, int]] = []
        self._groups: list[int] = []
        self._linears = 0

    def add(self, linear: str, stored: StoredWeight) -> None:
        """Look at one linear."""
        self._linears += 1
        shown = clean(linear, limit=120)
        for scales in (getattr(stored, name, None) for name in ("scales", "absmax")):
            if isinstance(scales, Tensor | NestedScales):
                self._look_at_scales(shown, scales if isinstance(scales, Tensor) else scales.dequantize())
        zeros, index = getattr(stored, "zeros", None), getattr(stored, "group_index", None)
        if isinstance(zeros, Tensor):
            self._zeros.append((int(zeros.min()), int(zeros.max())))
        if isinstance(index, Tensor) and index.numel():
            counts = torch.bincount(index.long())
            self._groups.append(len(counts))
            if len(counts) > 1 and int(counts[:-1].max()) != int(counts[:-1].min()):
                self._book.complain("groups", f"{shown} has groups of {int(counts.min())} to {int(counts.max())} weights", "warn")
        try:
            check_finite(f"{linear}.weight", stored.dequantize(torch.float32), "the dequantized checkpoint")
        except RequestError as error:
            self._book.complain("finite", str(error))

    def close(self) -> None:
        """Say what was seen."""
        if self._scales:
            low, high = min(low for low, _ in self._scales), max(high for _, high in self._scales)
            self._book.fact("scales", f"{low:.3g} to {high:.3g}")
        if self._zeros:
            low, high = min(low for low, _ in self._zeros), max(high for _, high in self._zeros)
            self._book.fact("zero points", f"codes {low} to {high}, counted from the middle of the grid")
        elif self._linears:
            self._book.fact("zero points", "none are needed")
        if self._groups:
            self._book.fact("groups", f"{min(self._groups)} to {max(self._groups)} a row")
        if self._linears:
            self._book.fact("finite", f"{self._linears} linears")

    def _look_at_scales(self, shown: str, scales: Tensor) -> None:
        values = scales.float()
        low, high = (float(value) for value in torch.aminmax(values))
        self._scales.append((low, high))
        if bool((values == 0).any()):
            self._book.complain("scales", f"{shown} has {int((values == 0).sum()):,} scales of 0: their weights read as 0")
        if low < 0:
            self._book.complain("scales", f"{shown} has negative scales, which mirror a group's grid, as auto-round makes them", "warn")


def _look_at_the_rest(folder: Path, weights: QuantizedWeights | None, book: CheckBook, on_tensor: OnTensor) -> None:
    """Tensors that are stored as they are."""
    files = model_tensors(folder)
    parts = set() if weights is None else {part for linear in weights.linears for part in weights.format.parts(linear)}
    plain = [name for name in files if name not in parts]
    with TensorReader() as reader:
        for name in plain:
            on_tensor(name)
            try:
                check_finite(name, reader.read(files[name]), clean(files[name].file.name, limit=120))
            except RequestError as error:
                book.complain("finite", str(error))
    book.fact("finite", f"{0 if weights is None else len(weights.linears)} linears and {len(plain)} other tensors")


def _look_at_the_model(folder: Path, weights: QuantizedWeights | None, book: CheckBook) -> None:
    try:
        with open_streamed(folder) as streamed:
            taken = {name for index in range(streamed.n_blocks) for name in streamed.block_tensors(index)}
            book.fact("names", f"{len(model_tensors(folder))} tensors for {streamed.n_blocks} blocks")
            if weights is not None:
                _compare_shapes(streamed, weights, book)
                _compare_left_out(folder, streamed, weights, book)
            _look_for_more(streamed, weights, taken, book)
    except RequestError as error:
        if not book.failed:
            book.complain("names", str(error))


def _compare_shapes(streamed: StreamedModel, weights: QuantizedWeights, book: CheckBook) -> None:
    expected = {streamed.checkpoint_name(name): tuple(parameter.shape) for name, parameter in streamed.model.named_parameters()}
    for linear in weights.linears:
        wanted = expected.get(f"{linear}.weight")
        try:
            found = weights.shape(linear)
        except RequestError:
            continue
        if wanted is not None and found != wanted:
            sizes = f"{list(found)}, and config.json makes it {list(wanted)}"
            book.complain("packing", f"{clean(linear, limit=120)} should be a matrix of {sizes}")


def _compare_left_out(folder: Path, streamed: StreamedModel, weights: QuantizedWeights, book: CheckBook) -> None:
    """Engines decide by the configuration where they look for packed weights."""
    config = quantization_of(read_object(folder / "config.json"), folder) or {}
    linears = [name for name, module in streamed.model.named_modules() if isinstance(module, nn.Linear)]
    quantized = set(weights.linears)
    leaves_out = left_out_by(config)
    if leaves_out is None:
        book.fact("left out", "loaders of this format look at the tensors")
        return
    kept = 0
    for name in linears:
        stored = streamed.checkpoint_name(f"{name}.weight").removesuffix(".weight")
        left_out = leaves_out(stored)
        kept += stored not in quantized
        if left_out and stored in quantized:
            book.complain("left out", f"{clean(stored, limit=120)} is stored quantized, but the configuration excludes it")
        elif not left_out and stored not in quantized and not _is_tied(streamed, name):
            book.complain(
                "left out", f"{clean(stored, limit=120)} is stored plain, but the configuration does not exclude it: engines expect its codes"
            )
    book.fact("left out", f"{kept} linears of {len(linears)} are not quantized")


def _is_tied(streamed: StreamedModel, name: str) -> bool:
    return bool(getattr(streamed.config.get_text_config(), "tie_word_embeddings", False)) and name.endswith("lm_head")


def _look_for_more(streamed: StreamedModel, weights: QuantizedWeights | None, taken: set[str], book: CheckBook) -> None:
    """Tensors that no parameter takes: a bias that is all zero, as older GPTQ tools wrote it, does no harm."""
    every = set(streamed.non_block_tensors()) | taken
    known = {streamed.checkpoint_name(name) for name in streamed.model.state_dict()} | taken
    more = sorted(name for name in every - known if not name.endswith(("rotary_emb.inv_freq", "masked_bias")))
    for name in more:
        if name.endswith(".bias") and not bool(streamed.read_tensor(name).any()):
            continue
        quantized = weights is not None and name.removesuffix(".weight") in weights.linears
        book.complain("names", f"{clean(name, limit=120)} is not part of the model", "fail" if quantized or name.endswith(".bias") else "warn")
