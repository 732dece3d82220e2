"""A model of which only the blocks at work are in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from core.errors import RequestError
from core.models.consistency import check_consistent
from core.models.files import read_object, shown
from core.models.headers import model_tensors
from core.models.load import load_model, load_tokenizer
from core.models.normal_config import normalize
from core.models.recorder import BlockCall, BlockRecorder, same_calls
from core.models.skeleton import build_skeleton, stated_dtype
from core.models.source import ModelSource, require_folder
from core.models.structure import Blocks, decoder_path, find_blocks, find_linears
from core.models.tensors import TensorReader, check_finite
from core.models.weights import Group, place, plan_weights
from core.sanitize import clean

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


class StreamedModel:
    """A decoder on the meta device whose blocks are read, used and let go one by one. A context manager, or call `close`."""

    def __init__(self, folder: Path, dtype: torch.dtype, device: str, overlay: Mapping[str, Tensor] | None) -> None:
        self.folder = folder
        self.dtype = dtype
        self.device = torch.device(device)
        self.overlay: Mapping[str, Tensor] = overlay or {}
        self._tensors = model_tensors(folder)
        check_consistent(normalize(read_object(folder / "config.json")), self._tensors, folder)
        self._reader = TensorReader()
        self.model: PreTrainedModel = build_skeleton(folder, dtype)
        self.blocks: Blocks = find_blocks(self.model)
        self._plan = plan_weights(self.model, self._tensors)
        self._meta: dict[str, nn.Parameter] = dict(self.model.named_parameters(remove_duplicate=False))
        self._tied = self._find_ties()
        self._recorder = BlockRecorder(self.model, list(self.blocks.modules))
        self._finite: set[str] = set()
        self._in_fp32 = _kept_in_fp32(self.model, dtype)
        self._check_complete()
        for name, buffer in self.model.named_buffers():
            if buffer.device.type != "meta":
                place(self.model, name, buffer.to(self.device))

    @classmethod
    def open(
        cls,
        source: ModelSource | Path,
        dtype: torch.dtype | None = None,
        device: str = "cpu",
        overlay: Mapping[str, Tensor] | None = None,
    ) -> Self:
        """Prepare to stream a model; no weight is read yet.

        Args:
            source: a model folder with plain (not quantized) weights.
            dtype: of the arithmetic; default: what config.json states, else float32.
            device: where blocks are put.
            overlay: parameters by name (`model.layers.0.mlp.up_proj.weight`) that are used instead of the stored ones.

        Raises:
            RequestError: a GGUF file, a quantized checkpoint, or weights that do not belong to config.json.
        """
        folder = require_folder(source) if isinstance(source, ModelSource) else source
        if read_object(folder / "config.json").get("quantization_config"):
            raise RequestError(f"{shown(folder)} is already quantized: give the original model, with bf16, fp16 or fp32 weights")
        return cls(folder, dtype or stated_dtype(folder) or torch.float32, device, overlay)

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
        for name in [name for name in self._tensors if name not in self._finite]:
            self.read_tensor(name)
            between()

    def load_block(self, index: int) -> nn.Module:
        """Read a block's weights.

        Raises:
            RequestError: a tensor is missing, has another shape than config.json makes it, or holds NaN or Inf.
        """
        self._load(group for group in self._plan.under(self.block_prefix(index)) if self._is_on_meta(group.target))
        block: nn.Module = self.blocks.modules[index]
        missing = next((name for name, parameter in block.named_parameters() if parameter.device.type == "meta"), None)
        if missing is not None:
            raise _missing(self.block_prefix(index) + missing, self.folder)
        return block

    def release_block(self, index: int) -> None:
        """Let a block's weights go; changes made to them are lost."""
        self._release(name for name in self._meta if name.startswith(self.block_prefix(index)))

    def capture(self, windows: Tensor) -> BlockInputs:
        """What the blocks are given for windows of tokens [N, T]: embeddings, masks, positions, by the model's own forward."""
        windows = windows.to(self.device)
        self._load_outer(without_head=True)
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
            raise RequestError("there is no window of tokens to run: give a longer text, or a shorter window")
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
        self._load_outer(without_embedding=True)
        embedding = self.model.get_input_embeddings()
        return self._recorder.head(hidden, int(getattr(embedding, "embedding_dim", hidden.shape[-1])))

    def release_outer(self) -> None:
        """Let go what stands outside the blocks: embedding, last norm, head."""
        self._release(name for name in self._meta if not name.startswith(f"{self.blocks.path}."))

    def non_block_tensors(self) -> list[str]:
        """Names in the checkpoint of all tensors that belong to no block."""
        in_blocks = {name for group in self._plan.under(f"{self.blocks.path}.") for name, _ in group.pieces}
        return [name for name in self._tensors if name not in in_blocks]

    def block_tensors(self, index: int) -> list[str]:
        """Names in the checkpoint of a block's tensors."""
        return [name for group in self._plan.under(self.block_prefix(index)) for name, _ in group.pieces]

    def checkpoint_name(self, parameter: str) -> str:
        """Name in the checkpoint of a parameter."""
        return self._plan.checkpoint_name(parameter)

    def read_tensor(self, name: str) -> Tensor:
        """A tensor by its name in the checkpoint, in its stored dtype, on the CPU; checked to be finite when first read."""
        location = self._tensors.get(name)
        if location is None:
            raise _missing(name, self.folder)
        tensor = self._reader.read(location)
        if name not in self._finite:
            check_finite(name, tensor, shown(location.file))
            self._finite.add(name)
        return tensor

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's tokenizer."""
        return load_tokenizer(self.folder)

    def close(self) -> None:
        """Let go all weights and files."""
        self._release(self._meta)
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _load(self, groups: Iterable[Group]) -> None:
        for group in groups:
            if group.converter is None and group.target in self.overlay:
                self._place(group.target, self.overlay[group.target])
                continue
            for name, tensor in group.load(self.read_tensor, self.model).items():
                self._place(name, self.overlay.get(name, tensor))

    def _place(self, name: str, tensor: Tensor) -> None:
        if tensor.is_floating_point():
            dtype = torch.float32 if self._in_fp32(name) else self._meta[name].dtype if name in self._meta else self.dtype
            tensor = tensor.to(dtype)
        place(self.model, name, tensor.to(self.device))
        for other in self._tied.get(name, ()):
            path, _, leaf = other.rpartition(".")
            self.model.get_submodule(path)._parameters[leaf] = self.model.get_parameter(name)

    def _release(self, names: Iterable[str]) -> None:
        for name in names:
            path, _, leaf = name.rpartition(".")
            self.model.get_submodule(path)._parameters[leaf] = self._meta[name]

    def _load_outer(self, *, without_head: bool = False, without_embedding: bool = False) -> None:
        embedding, head = self._weight_of(self.model.get_input_embeddings()), self._weight_of(self.model.get_output_embeddings())  # type: ignore[no-untyped-call]
        skipped = (head if without_head else set()) - embedding | (embedding if without_embedding else set()) - head
        inside = decoder_path(self.model)
        self._load(
            group
            for group in self._plan.groups
            if not group.target.startswith(f"{self.blocks.path}.")
            and group.target not in skipped
            and (group.target.startswith(inside) or group.target in head)
            and self._is_on_meta(group.target)
        )

    def _weight_of(self, module: nn.Module | None) -> set[str]:
        """State-dict names of an embedding's or head's parameters, names tied to them included."""
        if module is None:
            return set()
        path = next((path for path, candidate in self.model.named_modules() if candidate is module), None)
        own = {name for name in self._meta if path is not None and name.rpartition(".")[0] == path}
        return own | {other for name, others in self._tied.items() for other in (name, *others) if own & {name, *others}}

    def _is_on_meta(self, name: str) -> bool:
        path, _, leaf = name.rpartition(".")
        module = self.model.get_submodule(path)
        tensor: Tensor | None = module._parameters.get(leaf)
        return tensor is None or tensor.device.type == "meta"

    def _find_ties(self) -> dict[str, list[str]]:
        """Stored parameter -> names that share it and are not stored themselves."""
        stored = {group.target for group in self._plan.groups}
        by_identity: dict[int, list[str]] = {}
        for name, parameter in self._meta.items():
            by_identity.setdefault(id(parameter), []).append(name)
        ties: dict[str, list[str]] = {}
        for names in by_identity.values():
            source = next((name for name in names if name in stored), None)
            if source is not None and len(names) > 1:
                ties[source] = [name for name in names if name not in stored]
        return ties

    def _check_complete(self) -> None:
        """Refuse at once what loading would refuse later: missing tensors and wrong shapes."""
        made = {name for group in self._plan.groups for name in (group.target, *self._tied.get(group.target, ()))}
        splits = any(group.converter is not None and len(group.converter.target_patterns) > 1 for group in self._plan.groups)
        needed = (name for name in self._meta if name.startswith((f"{self.blocks.path}.", decoder_path(self.model))))
        if not splits and (missing := next((name for name in needed if name not in made), None)) is not None:
            raise _missing(missing, self.folder)
        for group in self._plan.groups:
            if group.converter is None and group.target in self._meta:
                stored, expected = self._tensors[group.pieces[0][0]].info.shape, tuple(self._meta[group.target].shape)
                if stored != expected:
                    raise RequestError(
                        f"the tensor {clean(group.pieces[0][0], limit=200)!r} in {shown(self.folder)} has the shape {list(stored)}, and config.json "
                        f"makes it {list(expected)}: the weights do not belong to this config.json"
                    )


def _missing(name: str, folder: Path) -> RequestError:
    return RequestError(f"the tensor {clean(name, limit=200)!r} is missing in {shown(folder)}: fetch the model again")


def _kept_in_fp32(model: PreTrainedModel, dtype: torch.dtype) -> Callable[[str], bool]:
    """A test by name: must the parameter stay in float32, as the model's class asks for?"""
    patterns: set[str] = set()
    if dtype in (torch.float16, torch.bfloat16):
        patterns |= set(getattr(model, "_keep_in_fp32_modules_strict", None) or ())
    if dtype == torch.float16:
        patterns |= set(getattr(model, "_keep_in_fp32_modules", None) or ())
    if not patterns:
        return lambda _: False
    expression = re.compile("|".join(pattern.replace("*", ".*") for pattern in sorted(patterns)))
    return lambda name: expression.search(name) is not None
