"""From what a user types to a model on this machine."""

from __future__ import annotations

from pathlib import Path

from core.errors import RequestError
from core.models.config.defaults import causal_model_types, model_types
from core.models.disk.files import STAND_IN_BYTES, read_object, reason, refuse_stand_in, shown
from core.models.disk.gguf_header import read_gguf_header
from core.models.disk.headers import INDEX_FILE, SINGLE_FILE, model_tensors
from core.models.find.hub_cache import cached_snapshot, is_model_id, is_offline
from core.models.find.listing import ModelListing, ModelProblem, bundled_models, list_models
from core.models.source import ModelSource, require_folder, require_unquantized
from core.sanitize import clean

__all__ = ["ModelListing", "ModelProblem", "ModelSource", "list_models", "require_folder", "require_unquantized", "resolve"]

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_WANTED = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "LICENSE*", "README.md"]
_READ_LATER = (
    "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model", "*.tiktoken", "tekken.json",
    "chat_template*", "generation_config.json",
)  # fmt: skip
_UNWANTED = ["original/*", "consolidated*", "onnx/*"]


def resolve(name: str, *, allow_download: bool = True) -> ModelSource:
    """Find a model.

    Args:
        name: `bundled:<name>`, a Hugging Face folder, a `.gguf` file, or a Hugging Face id.
        allow_download: fetch an id that is not in the cache, when the environment allows it.

    Raises:
        RequestError: nothing of that name, or nothing that can be used; one sentence says how to mend it.
    """
    if not name.strip() or "\0" in name:
        raise RequestError("no model given: give bundled:base, a folder, a .gguf file or a Hugging Face id")
    if name.startswith("bundled:"):
        return _bundled(name)
    path = Path(name).expanduser()
    if _exists(path):
        return _local(name, path)
    if not is_model_id(name):
        raise RequestError(f"no such path: {shown(name)}; give bundled:base, an existing folder or .gguf file, or a Hugging Face id")
    return _from_hub(name, allow_download)


def check_folder(folder: Path) -> None:
    """Nothing, when the folder holds a decoder that transformers knows, with sound safetensors headers.

    Raises:
        RequestError: what is wrong with it.
    """
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise RequestError(_without_config(folder))
    config = read_object(config_file)
    _refuse_stand_ins(folder)
    if not any((folder / file).exists() for file in (SINGLE_FILE, INDEX_FILE)) and not any(folder.glob("*.safetensors")):
        pickled = sorted(file.name for file in folder.iterdir() if file.suffix in _PICKLED)
        if pickled:
            raise RequestError(_pickled(folder / pickled[0]))
        raise RequestError(f"{shown(folder)} has a config.json but no weights: fetch {SINGLE_FILE}, or its shards and index, into it")
    _check_model_type(config_file, config.get("model_type"), remote_code="auto_map" in config)
    model_tensors(folder)


def _bundled(name: str) -> ModelSource:
    known = {source.name: source for source in bundled_models()}
    if name in known:
        return known[name]
    there = ", ".join(known) or "none; install llmopt-tui again, or train them with python -m core.models.bundled.train base"
    raise RequestError(f"{clean(name, limit=80)} is not in this installation; bundled models: {there}")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _local(name: str, path: Path) -> ModelSource:
    try:
        if path.is_dir():
            check_folder(path)
            return ModelSource(name, path.absolute(), "folder", "local")
    except OSError as error:
        raise RequestError(f"cannot read {shown(path)}: {reason(error)}") from error
    if path.suffix == ".gguf":
        read_gguf_header(path)
        return ModelSource(name, path.absolute(), "gguf", "local")
    if path.suffix in _PICKLED:
        raise RequestError(_pickled(path))
    raise RequestError(f"{shown(path)} is a file, not a model: give its folder, with config.json and safetensors weights, or a .gguf file")


def _from_hub(name: str, allow_download: bool) -> ModelSource:
    cached = cached_snapshot(name)
    if cached is not None:
        try:
            check_folder(cached)
            return ModelSource(name, cached, "folder", "cache")
        except RequestError:
            if not allow_download or is_offline():
                raise
    if not allow_download or is_offline():
        why = "downloads are switched off (HF_HUB_OFFLINE)" if is_offline() else "it is not downloaded here"
        raise RequestError(f"{clean(name)} is neither a path nor in the Hugging Face cache, and {why}: give a folder, or fetch the model first")
    folder = _download(name)
    check_folder(folder)
    return ModelSource(name, folder, "folder", "hub")


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED, ignore_patterns=_UNWANTED, etag_timeout=10))
    except GatedRepoError as error:
        raise RequestError(f"{clean(name)} is gated: accept its licence on huggingface.co and sign in with `hf auth login`") from error
    except RepositoryNotFoundError as error:
        raise RequestError(f"no such path, and huggingface.co has no model {clean(name)} that you can access: check its spelling") from error
    except LocalEntryNotFoundError as error:
        raise RequestError(
            f"{clean(name)} is neither a path nor in the Hugging Face cache, and huggingface.co cannot be reached: give a folder, or go online"
        ) from error
    except Exception as error:  # the hub's client raises errors of every HTTP library it was ever built on
        raise RequestError(
            f"{clean(name)} is neither a path nor in the Hugging Face cache, and could not be downloaded ({reason(error)}): give a folder"
        ) from error


def _refuse_stand_ins(folder: Path) -> None:
    """Whatever transformers reads next to config.json and the weights is the file itself. Raises RequestError: naming one that only points to it."""
    for pattern in _READ_LATER:
        for file in folder.glob(pattern):
            if file.is_file():
                with file.open("rb") as stream:
                    refuse_stand_in(file, stream.read(STAND_IN_BYTES))


def _check_model_type(config_file: Path, model_type: object, *, remote_code: bool) -> None:
    known = model_types()
    if not isinstance(model_type, str) or not model_type:
        raise RequestError(f"{shown(config_file)} has no model_type: it is not the configuration of a transformers model")
    if known and model_type not in known:
        code = "; its own code is never run" if remote_code else ""
        raise RequestError(f"{shown(config_file)} has the model_type {clean(model_type, limit=80)!r}, which transformers does not know{code}")
    causal = causal_model_types()
    if causal and model_type not in causal:
        raise RequestError(
            f"{shown(config_file)} has the model_type {clean(model_type, limit=80)!r}, which is not a language model that generates text"
        )


def _without_config(folder: Path) -> str:
    names = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []
    ggufs = [name for name in names if name.endswith(".gguf")]
    if ggufs:
        return f"{shown(folder)} has no config.json: for its GGUF model give the file, {shown(folder / ggufs[0])}"
    if "adapter_config.json" in names:
        return f"{shown(folder)} holds an adapter and no config.json: merge it into its base model first (peft: merge_and_unload)"
    return f"{shown(folder)} has no config.json: give a complete Hugging Face model folder"


def _pickled(path: Path) -> str:
    return (
        f"{shown(path)} holds pickled weights, which can run code when they are read: if you trust them, convert with "
        "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW) in Python, which writes safetensors"
    )
