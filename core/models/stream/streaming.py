"""A model of which only the blocks at work are in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from core.errors import RequestError
from core.models.config.normal_config import normalize
from core.models.config.quantization import quantization_of
from core.models.consistency import check_consistent, check_taken
from core.models.disk.codes import check_numbers
from core.models.disk.files import read_object, shown
from core.models.disk.headers import TensorLocation, model_tensors
from core.models.disk.tensors import Reader
from core.models.load import load_model, load_tokenizer
from core.models.source import ModelSource, require_folder
from core.models.stream.recorder import BlockCall, BlockRecorder, same_calls
from core.models.stream.residency import ResidentWeights
from core.models.stream.skeleton import build_skeleton, stated_dtype
from core.models.structure import Blocks, decoder_path, find_blocks, find_linears
from core.numerics.products import linear

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["BlockInputs", "StreamedModel", "load_model", "load_tokenizer"]

_EMBEDDED_AT_ONCE = 8


@dataclass
class BlockInputs:
    """What the blocks of a model are given for a set of windows."""

    hidden: Tensor
    """[N, T, H]: what the first block is given. May be replaced by a later block's input."""
    calls: list[list[BlockCall]]
    """Calls of all blocks: one list for all windows, or one a window where the model treats windows differently."""

    def call(self, block: int, window: int = 0) -> BlockCall:
        """What block `block` is given for one window besides its hidden state."""
        return self.calls[window if self.per_window else 0][block]

    @property
    def per_window(self) -> bool:
        """Whether each window has calls of its own."""
        return len(self.calls) > 1


@dataclass(frozen=True)
class Stored:
    """A checkpoint whose tensors are not the parameters themselves."""

    tensors: Mapping[str, TensorLocation]
    """Parameters by their name in a plain checkpoint; one whose shape is only known when it is read has none."""
    reader: Reader


class StreamedModel:
    """A decoder on the meta device whose blocks are read, used and let go one by one. A context manager, or call `close`."""

    def __init__(self, folder: Path, dtype: torch.dtype, device: str, overlay: Mapping[str, Tensor] | None, stored: Stored | None = None) -> None:
        self.folder = folder
        self.dtype = dtype
        self.device = torch.device(device)
        tensors, reader = (model_tensors(folder), None) if stored is None else (stored.tensors, stored.reader)
        check_consistent(normalize(read_object(folder / "config.json")), tensors, folder)
        check_numbers(tensors, folder)
        self.model: PreTrainedModel = build_skeleton(folder, dtype)
        _use_fast_products(self.model)
        self.blocks: Blocks = find_blocks(self.model)
        self._decoder = decoder_path(self.model)
        self._recorder = BlockRecorder(self.model, list(self.blocks.modules))
        self._weights = ResidentWeights(self.model, tensors, folder, self.device, overlay or {}, reader)
        check_taken(self.model, self._weights.plan.unexpected, folder, self._weights.read)
        self._embedding = self._weights.names_of(self.model.get_input_embeddings())
        self._head = self._weights.names_of(self.model.get_output_embeddings())  # type: ignore[no-untyped-call]
        self._weights.check_complete(lambda name: self._is_in_block(name) or self._is_outer(name))

    @classmethod
    def open(
        cls,
        source: ModelSource | Path,
        dtype: torch.dtype | None = None,
        device: str = "cpu",
        overlay: Mapping[str, Tensor] | None = None,
        stored: Stored | None = None,
    ) -> Self:
        """Prepare to stream a model; no weight is read yet.

        Args:
            source: a model folder; with plain (not quantized) weights unless `stored` is given.
            dtype: of the arithmetic; default: what config.json states, else float32.
            device: where blocks are put.
            overlay: parameters by name (`model.layers.0.mlp.up_proj.weight`) that are used instead of the stored ones.
            stored: what the folder's tensors stand for, of a quantized checkpoint.

        Raises:
            RequestError: a GGUF file, a quantized checkpoint, or weights that do not belong to config.json.
        """
        folder = require_folder(source) if isinstance(source, ModelSource) else source
        if stored is None and quantization_of(read_object(folder / "config.json"), folder) is not None:
            raise RequestError(f"{shown(folder)} is already quantized: give the original model, with bf16, fp16 or fp32 weights")
        return cls(folder, dtype or stated_dtype(folder) or torch.float32, device, overlay, stored)

    @property
    def overlay(self) -> Mapping[str, Tensor]:
        """Parameters by name that are used instead of the stored ones."""
        return self._weights.overlay

    @property
    def n_blocks(self) -> int:
        """Number of decoder blocks."""
        return len(self.blocks.modules)

    @property
    def config(self) -> Any:
        """transformers' configuration of the model."""
        return self.model.config

    def block_prefix(self, index: int) -> str:
        """Prefix of a block in the state dict, for example `model.layers.3.`."""
        return self.blocks.prefix(index)

    def check_linears(self) -> list[list[str]]:
        """Names of the linears of every block, inside the block; no weight is read.

        Raises:
            RequestError: some block keeps weights where a method that works on linears would miss them.
        """
        return [list(find_linears(block)) for block in self.blocks.modules]

    def check_weights(self, between: Callable[[], None] = lambda: None) -> None:
        """Read every tensor once, before long work begins; what was checked here is not checked again.

        Args:
            between: called after each tensor; may raise to cancel.

        Raises:
            RequestError: naming the tensor that holds NaN or Inf.
        """
        for name in self._weights.unchecked():
            self._weights.read(name)
            between()

    def load_block(self, index: int) -> nn.Module:
        """Read a block's weights. Raises RequestError: a tensor is missing, has another shape than config.json makes it, or holds NaN or Inf."""
        prefix, block = self.block_prefix(index), self.blocks.modules[index]
        self._weights.load(self._weights.plan.under(prefix))
        self._weights.check_loaded(block, prefix)
        return block

    def release_block(self, index: int) -> None:
        """Let a block's weights go; changes made to them are lost."""
        prefix = self.block_prefix(index)
        self._weights.release(lambda name: name.startswith(prefix))

    def load_whole(self) -> PreTrainedModel:
        """The model with all its weights in memory, for as long as this is not closed. Raises RequestError: as of `load_block`."""
        self._weights.load(self._weights.plan.groups)
        self._weights.check_loaded(self.model, "")
        return self.model

    def capture(self, windows: Tensor) -> BlockInputs:
        """What the blocks are given for windows of tokens [N, T]: embeddings, masks, positions, by the model's own forward.

        Raises:
            RequestError: a token is outside the model's vocabulary.
        """
        rows = getattr(self.model.get_input_embeddings(), "num_embeddings", None)
        if rows is not None and windows.numel() and int(windows.max()) >= rows:
            raise RequestError(f"token {int(windows.max())} is outside the model's vocabulary of {rows}: use the model's own tokenizer")
        windows = windows.to(self.device)
        self._load_outer(without=self._head - self._embedding)
        _, first = self._recorder.record(windows[:1])
        calls = [first]
        if len(windows) > 1 and not same_calls(first, self._recorder.record(windows[:2])[1]):
            calls = [self._recorder.record(window[None])[1] for window in windows]
        hidden = self._embed(windows)
        self.release_outer()
        return BlockInputs(hidden, calls)

    def _embed(self, windows: Tensor) -> Tensor:
        hidden: Tensor | None = None
        for row in range(0, len(windows), _EMBEDDED_AT_ONCE):
            part = self._recorder.embed(windows[row : row + _EMBEDDED_AT_ONCE])
            hidden = part.new_empty(len(windows), *part.shape[1:]) if hidden is None else hidden
            hidden[row : row + len(part)] = part
        if hidden is None:
            raise RequestError("no window of tokens to run: give a longer text, or a shorter window")
        return hidden

    @torch.no_grad()
    def run_block(self, block: nn.Module, hidden: Tensor, index: int, inputs: BlockInputs, *, first: int = 0) -> Tensor:
        """Output [n, T, H] of a loaded block.

        Args:
            block: from `load_block(index)`.
            hidden: [n, T, H], the block's input for windows `first` to `first + n`.
            index: number of the block.
            inputs: from `capture`, for windows of the same length.
            first: which window of `inputs` the first row of `hidden` is; matters where the model treats windows differently.
        """
        if not inputs.per_window:
            return self._recorder.run(block, hidden, inputs.call(index))
        rows = range(len(hidden))
        return torch.cat([self._recorder.run(block, hidden[row : row + 1], inputs.call(index, first + row)) for row in rows])

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [n, T, V] in float32 of the last block's output [n, T, H]. The head stays loaded until `release_outer`."""
        self._load_outer(without=self._embedding - self._head)
        embedding = self.model.get_input_embeddings()
        return self._recorder.head(hidden, int(getattr(embedding, "embedding_dim", hidden.shape[-1])))

    def release_outer(self) -> None:
        """Let go what is outside the blocks: embedding, last norm, head."""
        self._weights.release(lambda name: not self._is_in_block(name))

    def non_block_tensors(self) -> list[str]:
        """Names in the checkpoint of all tensors that belong to no block."""
        in_blocks = {name for group in self._weights.plan.groups if self._is_in_block(group.target) for name, _ in group.pieces}
        return [name for name in self._weights.tensors if name not in in_blocks]

    def block_tensors(self, index: int) -> list[str]:
        """Names in the checkpoint of a block's tensors."""
        return [name for group in self._weights.plan.under(self.block_prefix(index)) for name, _ in group.pieces]

    def checkpoint_name(self, parameter: str) -> str:
        """Name in the checkpoint of a parameter."""
        return self._weights.plan.checkpoint_name(parameter)

    def read_tensor(self, name: str) -> Tensor:
        """A tensor by its name in the checkpoint, in its stored dtype, on the CPU; checked to be finite when first read."""
        return self._weights.read(name)

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's tokenizer."""
        return load_tokenizer(self.folder)

    def close(self) -> None:
        """Let go all weights and files."""
        self._weights.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _load_outer(self, without: set[str]) -> None:
        groups = self._weights.plan.groups
        self._weights.load(group for group in groups if self._is_outer(group.target) and group.target not in without)

    def _is_in_block(self, name: str) -> bool:
        return name.startswith(f"{self.blocks.path}.")

    def _is_outer(self, name: str) -> bool:
        """Whether a parameter is outside the blocks and takes part in reading text: not, for example, a vision tower's."""
        return not self._is_in_block(name) and (name.startswith(self._decoder) or name in self._head)


def _use_fast_products(model: nn.Module) -> None:
    """Let plain linears multiply by whichever kernel is fastest for them."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.forward = partial(_multiply, module)  # type: ignore[method-assign]


def _multiply(module: nn.Linear, inputs: Tensor) -> Tensor:
    return linear(inputs, module.weight, module.bias)
