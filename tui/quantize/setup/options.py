"""The tables from which method, GGUF level and comparison are chosen."""

from __future__ import annotations

from core.quantize.compare.spec import SETS, VariantSet
from core.quantize.methods import METHODS
from core.quantize.plan.levels import LevelRow, level_table
from tui.services.services import Models
from tui.widgets import words
from tui.widgets.form.table_picker import Options, Row

_ABOUT: dict[VariantSet, str] = {
    "integers": "INT8 to INT3, by rounding and by GPTQ, with scales per tensor, channel or group",
    "floats": "FP8 as E4M3 and E5M2, with and without rounded inputs, against INT8, INT4 and NF4",
}


def method_options() -> Options:
    """Every method, with what it makes and in which formats."""
    rows = [
        Row(method.name, (method.name, method.width_words, method.calibration, ", ".join(method.formats)), method.summary)
        for method in METHODS.values()
    ]
    return Options((("method", 13), ("bits", 10), ("text", 10), ("formats", 40)), rows, "text: whether calibration text is used")


def level_options(models: Models, model: str, *, imatrix: bool) -> Options:
    """Every GGUF level as it would turn out for a model. Reads the model's card: off the event loop.

    Raises:
        RequestError: there is no such model.
    """
    card = models.resolve(model).card()
    rows = [_level(row) for row in level_table(card, imatrix=imatrix)]
    columns = (("level", 9), ("bits/w", 8), ("size", 11), ("KL*", 9), ("", 46))
    return Options(columns, rows, "bits and size are computed for this model; KL* is llama.cpp's published value for Llama-3-8B, in nats per token")


def comparison_options() -> Options:
    """The sets of quantizations that can be compared."""
    rows = [Row(name, (name, f"{len(variants)} quantizations"), _ABOUT[name]) for name, variants in SETS.items()]
    return Options((("set", 12), ("", 20)), rows, "each is measured on this model; no checkpoint is kept")


def usual_set(method: str) -> VariantSet:
    """The set that is of interest next to a method."""
    return METHODS[method].compared_in if method in METHODS else "integers"


def _level(row: LevelRow) -> Row:
    stored = sum(count for _, count in row.types)
    types = ", ".join(f"{name} {count / stored:.0%}" for name, count in row.types)
    written = f"{row.advice}{': ' if row.advice else ''}{types}{', written by llama.cpp' if row.needs_llama_cpp else ''}"
    detail = [written, *(fallback.sentence() for fallback in row.fallbacks)]
    cells = (row.level, words.figure(row.bits_per_weight, 3), words.size(row.bytes), words.figure(row.published_kl, 2), row.advice)
    return Row(row.level, cells, ". ".join(detail))
