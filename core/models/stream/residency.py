"""Which parameters of a model are in memory: read them, put them into their places, let them go."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from core.errors import RequestError
from core.measure.freed_memory import give_back_memory
from core.models.disk.files import shown
from core.models.disk.headers import TensorLocation
from core.models.disk.tensors import Reader, TensorReader, check_finite
from core.models.disk.weight_plan import Group, missing_tensor, place, plan_weights
from core.sanitize import clean

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class ResidentWeights:
    """The parameters of a model on the meta device, and the checkpoint that they are read from.

    Args:
        model: all its parameters on meta.
        tensors: the checkpoint.
        folder: names the checkpoint in complaints.
        device: where parameters are put.
        overlay: parameters by name that are used instead of the stored ones.
        reader: makes tensors from what is stored; default: as they stand in the files.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tensors: Mapping[str, TensorLocation],
        folder: Path,
        device: torch.device,
        overlay: Mapping[str, Tensor],
        reader: Reader | None = None,
    ) -> None:
        self.tensors = tensors
        self.plan = plan_weights(model, tensors)
        self._model, self._folder, self._device, self._overlay = model, folder, device, overlay
        self._meta: dict[str, nn.Parameter] = dict(model.named_parameters(remove_duplicate=False))
        self._tied = self._find_ties()
        self._stays_in_fp32 = _kept_in_fp32(model)
        self._finite: set[str] = set()
        self._reader: Reader = reader or TensorReader()
        for name, buffer in model.named_buffers():
            if buffer.device.type != "meta":
                place(model, name, buffer.to(device))

    @property
    def overlay(self) -> Mapping[str, Tensor]:
        """Parameters by name that are used instead of the stored ones."""
        return self._overlay

    def read(self, name: str) -> Tensor:
        """A tensor by its name in the checkpoint, in its stored dtype, on the CPU; checked to be finite when first read.

        Raises:
            RequestError: there is no such tensor, or it holds NaN or Inf.
        """
        location = self.tensors.get(name)
        if location is None:
            raise self._missing(name)
        tensor = self._reader.read(location)
        if name not in self._finite:
            check_finite(name, tensor, shown(location.file))
            self._finite.add(name)
        return tensor

    def unchecked(self) -> list[str]:
        """Names in the checkpoint of the tensors that were never read."""
        return [name for name in self.tensors if name not in self._finite]

    def load(self, groups: Iterable[Group]) -> None:
        """Read the parameters of these groups that are not in memory yet."""
        for group in groups:
            if not self._is_on_meta(group.target):
                continue
            if group.converter is None and group.target in self._overlay:
                self._place(group.target, self._overlay[group.target])
                continue
            for name, tensor in group.load(self.read, self._model).items():
                self._place(name, self._overlay.get(name, tensor))

    def release(self, wanted: Callable[[str], bool]) -> None:
        """Let the parameters go whose name is wanted."""
        for name, parameter in self._meta.items():
            if wanted(name):
                path, _, leaf = name.rpartition(".")
                self._model.get_submodule(path)._parameters[leaf] = parameter
        give_back_memory()

    def close(self) -> None:
        """Let everything go, files included."""
        self.release(lambda _: True)
        self._reader.close()

    def names_of(self, module: nn.Module | None) -> set[str]:
        """Names of a module's own parameters and of all that are tied to them."""
        path = next((path for path, candidate in self._model.named_modules() if candidate is module), None)
        own = {name for name in self._meta if path is not None and name.rpartition(".")[0] == path}
        return own | {name for source, others in self._tied.items() if own & {source, *others} for name in (source, *others)}

    def check_loaded(self, module: nn.Module, prefix: str) -> None:
        """Nothing, when all parameters of a module are in memory. Raises RequestError: naming the one that is missing."""
        for name, parameter in module.named_parameters():
            if parameter.device.type == "meta":
                raise self._missing(prefix + name)

    def check_complete(self, needed: Callable[[str], bool]) -> None:
        """Refuse at once what loading would refuse later.

        Raises:
            RequestError: a needed parameter is missing, or a tensor has another shape than its parameter.
        """
        made = {name for group in self.plan.groups for name in (group.target, *self._tied.get(group.target, ()))}
        splits = any(group.converter is not None and len(group.converter.target_patterns) > 1 for group in self.plan.groups)
        missing = next((name for name in self._meta if needed(name) and name not in made), None)
        if missing is not None and not splits:
            raise self._missing(missing)
        for group in self.plan.groups:
            if group.converter is None and group.target in self._meta:
                self._check_shape(group.pieces[0][0], tuple(self._meta[group.target].shape))

    def _check_shape(self, name: str, expected: tuple[int, ...]) -> None:
        stored = self.tensors[name].info.shape
        if stored != expected and stored:
            raise RequestError(
                f"the tensor {clean(name, limit=200)!r} in {shown(self._folder)} has the shape {list(stored)}, and config.json makes it "
                f"{list(expected)}: the weights do not belong to this config.json"
            )

    def _place(self, name: str, tensor: Tensor) -> None:
        if tensor.is_floating_point():
            stated = self._meta[name].dtype if name in self._meta else tensor.dtype
            tensor = tensor.to(torch.float32 if self._stays_in_fp32(name) else stated)
        place(self._model, name, tensor.to(self._device))
        for other in self._tied.get(name, ()):
            path, _, leaf = other.rpartition(".")
            self._model.get_submodule(path)._parameters[leaf] = self._model.get_parameter(name)

    def _is_on_meta(self, name: str) -> bool:
        path, _, leaf = name.rpartition(".")
        parameter = self._model.get_submodule(path)._parameters.get(leaf)
        return parameter is None or parameter.device.type == "meta"

    def _find_ties(self) -> dict[str, list[str]]:
        """Stored parameter -> names that share it and are not stored themselves."""
        stored = {group.target for group in self.plan.groups}
        by_identity: dict[int, list[str]] = {}
        for name, parameter in self._meta.items():
            by_identity.setdefault(id(parameter), []).append(name)
        ties: dict[str, list[str]] = {}
        for names in by_identity.values():
            source = next((name for name in names if name in stored), None)
            if source is not None and len(names) > 1:
                ties[source] = [name for name in names if name not in stored]
        return ties

    def _missing(self, name: str) -> RequestError:
        return missing_tensor(name, self._meta, self.plan.unexpected.values(), shown(self._folder))


def _kept_in_fp32(model: PreTrainedModel) -> Callable[[str], bool]:
    """A test by name: must the parameter stay in float32, as the model's class asks for?"""
    patterns: set[str] = set()
    if model.dtype in (torch.float16, torch.bfloat16):
        patterns |= set(getattr(model, "_keep_in_fp32_modules_strict", None) or ())
    if model.dtype == torch.float16:
        patterns |= set(getattr(model, "_keep_in_fp32_modules", None) or ())
    if not patterns:
        return lambda _: False
    expression = re.compile("|".join(pattern.replace("*", ".*") for pattern in sorted(patterns)))
    return lambda name: expression.search(name) is not None
