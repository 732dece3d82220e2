"""Whole models and tokenizers through transformers; code that comes with a model is never run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from core.errors import LlmoptError, RequestError
from core.models.config.normal_config import normalize
from core.models.config.quantization import quantization_of
from core.models.consistency import check_consistent
from core.models.disk.files import read_object, reason, shown
from core.models.disk.headers import model_tensors
from core.models.disk.tensors import check_finite
from core.models.source import ModelSource, require_folder
from core.sanitize import clean

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_TOKENIZER_FILES = ("tokenizer.json", "*.model", "vocab.*", "*.tiktoken", "tekken.json", "tokenizer.*")


def load_model(source: ModelSource | Path, dtype: torch.dtype | None = None, device: str = "cpu") -> PreTrainedModel:
    """The whole model in evaluation mode, quantized checkpoints included where transformers can read them.

    Args:
        source: a model folder.
        dtype: of the weights; default: what config.json states.
        device: where to put it.

    Raises:
        RequestError: a GGUF file, weights that are missing, do not fit or hold NaN or Inf, or a format that needs a package that is not there.
    """
    from transformers import AutoModelForCausalLM

    folder = require_folder(source) if isinstance(source, ModelSource) else source
    config = read_object(folder / "config.json")
    if quantization_of(config, folder) is None:
        check_consistent(normalize(config), model_tensors(folder), folder)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype="auto" if dtype is None else dtype,
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    except LlmoptError:
        raise
    except Exception as error:  # transformers and its quantizers raise whatever a file led them to
        raise RequestError(f"transformers cannot load {shown(folder)}: {reason(error)}") from error
    model: PreTrainedModel = loaded[0]
    missing = sorted(loaded[1].get("missing_keys", ()))
    if missing:
        raise RequestError(f"the tensor {clean(missing[0], limit=200)!r} is missing in {shown(folder)}: fetch the model again")
    for name, parameter in model.named_parameters():
        check_finite(name, parameter, shown(folder))
    model.eval()  # type: ignore[no-untyped-call]
    model.requires_grad_(False)
    placed: PreTrainedModel = model.to(device)  # type: ignore[arg-type]
    return placed


def load_tokenizer(source: ModelSource | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder. Raises RequestError: a GGUF file, or no tokenizer that transformers can read."""
    from transformers import AutoTokenizer

    folder = require_folder(source) if isinstance(source, ModelSource) else source
    if not any(next(folder.glob(pattern), None) for pattern in _TOKENIZER_FILES):
        raise RequestError(f"{shown(folder)} has no tokenizer: fetch the model's tokenizer.json into it")
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # tokenizers raise whatever a file led them to
        raise RequestError(f"transformers cannot read a tokenizer in {shown(folder)}: {reason(error)}") from error
    return tokenizer
