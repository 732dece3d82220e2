"""GGUF files for llama.cpp."""

from __future__ import annotations

from collections.abc import Iterator

from core.errors import RequestError
from core.formats.gguf.blocks import WRITTEN_HERE
from core.formats.gguf.families import family_of
from core.formats.gguf.llama.process import require_llama_cpp
from core.models.card import ModelCard
from core.quantize.methods.base import Method
from core.quantize.plan.levels import level_row, nominal
from core.quantize.plan.request import Request


class _Gguf(Method):
    @property
    def width_words(self) -> str:
        return "by level"

    def calibrates(self, request: Request) -> bool:
        return request.imatrix

    def require(self, request: Request, card: ModelCard) -> None:
        family_of(card.model_type)
        if request.level not in WRITTEN_HERE:
            require_llama_cpp(f"level {request.level}", "choose level Q8_0, which does not need it")
        elif request.imatrix:
            raise RequestError(f"an importance matrix has no effect at level {request.level}: omit imatrix, or choose a level below Q8_0")

    def nominal(self, request: Request) -> tuple[int, int | None]:
        return nominal(request.level)

    def checkpoint_bytes(self, request: Request, card: ModelCard, kept: int) -> int:
        return level_row(card, request.level, imatrix=request.imatrix).bytes

    def warnings(self, request: Request, card: ModelCard) -> Iterator[str]:
        yield from (fallback.sentence() for fallback in level_row(card, request.level, imatrix=request.imatrix).fallbacks)

    def name_parts(self, request: Request) -> list[str]:
        return [request.level, *(["imatrix"] if request.imatrix else [])]

    def description(self, request: Request) -> str:
        return f"GGUF {request.level}{' with an importance matrix' if request.imatrix else ''}"

    def recipe(self, request: Request) -> list[str]:
        return [str(request.level), "imatrix" if request.imatrix else ""]


GGUF = _Gguf(
    name="gguf",
    summary="a GGUF file for llama.cpp and Ollama, plain or K-quants",
    solver="core.quantize.whole.gguf:SOLVER",
    example="--method gguf --level Q4_K_M --imatrix",
    fields=("level", "imatrix"),
    unused=("group_size",),
    granularities=("block",),
    formats=("gguf",),
    calibration="if asked",
    measures_outputs=False,
    untouched="Embedding and head are stored in llama.cpp's types for this level, norms in float32.",
    defaults={"granularity": "block"},
)
