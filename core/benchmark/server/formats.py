"""Which engine reads which kind of file."""

from __future__ import annotations

from typing import Literal

from core.engine import EngineFacts
from core.errors import RequestError

_GGUF = "gguf"


def check_format(facts: EngineFacts, kind: Literal["folder", "gguf"]) -> None:
    """What would only be found out after a long start.

    Args:
        facts: of the engine.
        kind: of the model: a folder with safetensors, or a GGUF file.

    Raises:
        RequestError: the engine does not read it.
    """
    if kind == _GGUF and facts.formats and _GGUF not in facts.formats:
        raise RequestError(f"{facts.title} does not support GGUF files: give it a safetensors checkpoint")
    if kind == "folder" and facts.formats == (_GGUF,):
        raise RequestError(f"{facts.title} supports only GGUF files: create one with `llmopt quantize --method gguf`")
