"""A transformers model without its weights: parameters on the meta device, everything else real."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from core.errors import RequestError
from core.models.disk.files import reason, shown
from core.models.load import state_generation

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_patching = Lock()


def load_config(folder: Path) -> PretrainedConfig:
    """The configuration as transformers understands it; code that comes with a model is never run. Raises RequestError: transformers refuses it."""
    from transformers import AutoConfig

    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # transformers raises whatever a field of the file led it to
        raise RequestError(f"transformers cannot use {shown(folder / 'config.json')}: {reason(error)}") from error
    return config


def build_skeleton(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The model of a folder in evaluation mode: parameters on meta in `dtype`, non-persistent buffers computed.

    Raises:
        RequestError: transformers has no language model for the configuration.
    """
    from transformers import AutoModelForCausalLM

    config = load_config(folder)
    try:
        with _parameters_on_meta():
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)  # type: ignore[no-untyped-call]
    except RequestError:
        raise
    except Exception as error:  # transformers raises whatever a field of the file led it to
        raise RequestError(f"transformers cannot build the model of {shown(folder / 'config.json')}: {reason(error)}") from error
    state_generation(model, folder)
    model.eval()  # type: ignore[no-untyped-call]
    model.requires_grad_(False)
    return model


def stated_dtype(folder: Path) -> torch.dtype | None:
    """The floating-point dtype that config.json states, None when it states none."""
    config = json.loads((folder / "config.json").read_bytes())
    texts = (config, config.get("text_config") if isinstance(config.get("text_config"), dict) else {})
    for part in texts:
        name = part.get("dtype") or part.get("torch_dtype")
        dtype = getattr(torch, name.removeprefix("torch."), None) if isinstance(name, str) else None
        if isinstance(dtype, torch.dtype) and dtype.is_floating_point:
            return dtype
    return None


class _EmptyOnMeta(TorchFunctionMode):
    """Uninitialized tensors, which is what parameters begin as, take no memory; computed ones stay real."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    original = nn.Module.register_parameter

    def register(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and parameter.device.type != "meta":
            parameter = type(parameter)(parameter.data.to("meta"), requires_grad=parameter.requires_grad)
        original(module, name, parameter)

    with _patching, _EmptyOnMeta():
        nn.Module.register_parameter = register  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            nn.Module.register_parameter = original  # type: ignore[method-assign]
