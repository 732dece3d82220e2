"""What the fields of a quantization mean together: defaults and choices of the method, and what it has no use for. Pure."""

from __future__ import annotations

from core.quantize.methods import METHODS
from core.quantize.spec import QuantizeSpec, fill, unchecked
from core.spec import Values, text_in
from tui.widgets.form.fields.guide import Guidance

_OPEN = ("method", "grid", "budget", "activations", "solver")
"""Sections without a fold: the method's own fields, few of which apply at a time."""
_FINE = ("static_groups", "damp")
"""Fields of those that hardly anybody changes."""
_CALIBRATION = frozenset(dict(QuantizeSpec.sections)["calibration"])
_DEFAULT_METHOD = str(QuantizeSpec.model_fields["method"].default)


def sections() -> list[tuple[str, list[str]]]:
    """The form's sections: what the method asks for without a title, the rest behind folds."""
    top = [name for title, names in QuantizeSpec.sections if title in _OPEN for name in names if name not in _FINE]
    placed = {name for _, names in QuantizeSpec.sections for name in names}
    details = [*_FINE, *(name for name in QuantizeSpec.model_fields if name not in placed)]
    return [("", top), ("details", details), *((title, list(names)) for title, names in QuantizeSpec.sections if title not in _OPEN)]


def guide(given: Values) -> Guidance:
    """What follows from the fields that were given."""
    method = METHODS.get(text_in(given, "method", _DEFAULT_METHOD))
    if method is None:
        return Guidance()
    filled = fill(given)
    return Guidance(
        defaults={name: value for name, value in filled.items() if name not in given or given[name] is None},
        choices={"granularity": method.granularities, "format": method.formats, "activation_bits": method.activation_bits},
        hidden=frozenset().union(
            () if method.calibrates(unchecked(filled)) else _CALIBRATION,
            () if method.zero_points else ("symmetric",),
            method.unused,
        ),
        help={"method": f"{method.name}: {method.summary} · enter lists all {len(METHODS)} methods"},
    )
