"""Whole models and tokenizers through transformers; code that comes with a model is never run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from core.errors import LlmoptError, RequestError
from core.models.config.normal_config import normalize
from core.models.config.quantization import quantization_of
from core.models.consistency import check_consistent, check_taken
from core.models.disk.codes import check_numbers
from core.models.disk.files import read_object, reason, shown
from core.models.disk.headers import model_tensors, weight_files
from core.models.disk.tensors import TensorReader, check_finite
from core.models.disk.weight_plan import missing_tensor, plan_weights
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
    tensors, quantization = model_tensors(folder), quantization_of(config, folder)
    if quantization is None:
        check_consistent(normalize(config), tensors, folder)
        check_numbers(tensors, folder)
    else:
        _check_method(quantization, config, folder)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            **_file_of_another_name(folder),
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
        raise missing_tensor(missing[0], model.state_dict(), tensors, shown(folder))
    state_generation(model, folder)
    with TensorReader() as reader:
        unexpected = {name: name for name in loaded[1].get("unexpected_keys", ())} if quantization else plan_weights(model, tensors).unexpected
        check_taken(model, unexpected, folder, lambda name: reader.read(tensors[name]) if name in tensors else torch.ones(1))
    for name, parameter in model.named_parameters():
        check_finite(name, parameter, shown(folder))
    model.eval()  # type: ignore[no-untyped-call]
    model.requires_grad_(False)
    placed: PreTrainedModel = model.to(device)  # type: ignore[arg-type]
    return placed


def state_generation(model: PreTrainedModel, folder: Path) -> None:
    """Give a model the settings of generation_config.json, which names the tokens that end a text. Raises RequestError: the file is damaged."""
    from transformers import GenerationConfig

    file = folder / "generation_config.json"
    if not file.is_file():
        return
    stated = read_object(file)
    ends = stated.get("eos_token_id")
    if ends is not None and not all(type(token) is int for token in (ends if isinstance(ends, list) else [ends])):
        raise RequestError(f"{shown(file)} says eos_token_id = {clean(repr(ends), limit=60)}, expected a token or a list of tokens: fetch it again")
    try:
        model.generation_config = GenerationConfig.from_dict(stated)
    except Exception as error:  # transformers raises whatever a field of the file led it to
        raise RequestError(f"transformers cannot use {shown(file)}: {reason(error)}") from error


def _check_method(quantization: Mapping[str, object], config: Mapping[str, Any], folder: Path) -> None:
    """Nothing, when transformers dequantizes this checkpoint; it takes the codes of all others for weights without a word.

    Raises:
        RequestError: a method that it does not know, or one that is stated where it does not look.
    """
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING as METHODS

    text = config.get("text_config")
    seen = config.get("quantization_config") or (text.get("quantization_config") if isinstance(text, Mapping) else None)
    method = quantization.get("quant_method")
    known = method in METHODS or (isinstance(seen, Mapping) and (seen.get("load_in_8bit") or seen.get("load_in_4bit")))
    if not known or not seen:
        why = "which neither this program nor transformers can read" if not known else "which transformers only reads from config.json"
        raise RequestError(f"{shown(folder)} is quantized by {clean(str(method), limit=40)!r}, {why}: give the original model")


def _file_of_another_name(folder: Path) -> dict[str, object]:
    """Arguments that have transformers read the one file that it would not find."""
    from transformers import AutoConfig

    entry = weight_files(folder).entry
    if entry is None:
        return {}
    config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    config.transformers_weights = entry
    return {"config": config}


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
