"""What the fields of a pruning mean together: defaults and choices of the method, and what has no effect. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from core.prune.methods import METHODS
from core.prune.methods.base import Method
from core.prune.spec import PruneSpec, fill, unchecked
from core.spec import Values, text_in
from tui.widgets.form.fields.guide import Guidance

_FINE = ("scope", "within_block", "damp", "alps_steps")
"""Fields that hardly anybody changes."""
_OPEN = ("method", "structure", "layers", "solver")
"""Sections without a fold: the method's own fields, few of which apply at a time."""
_RECOVERY = frozenset({"recover_rate", "recover_tokens"})
_CALIBRATION = frozenset(dict(PruneSpec.sections)["calibration"])
_DEFAULT_METHOD = str(PruneSpec.model_fields["method"].default)


def sections() -> list[tuple[str, list[str]]]:
    """The form's sections: what the method asks for without a title, the rest behind folds."""
    by_title = dict(PruneSpec.sections)
    top = [name for title in _OPEN for name in by_title[title] if name not in _FINE]
    placed = {name for _, names in PruneSpec.sections for name in names}
    details = [*_FINE, *(name for name in PruneSpec.model_fields if name not in placed)]
    return [("", top), ("details", details), *((title, list(names)) for title, names in PruneSpec.sections if title not in _OPEN)]


def guide(given: Values) -> Guidance:
    """What follows from the fields that were given."""
    method = METHODS.get(text_in(given, "method", _DEFAULT_METHOD))
    if method is None:
        return Guidance()
    filled = fill(given)
    return Guidance(
        defaults={name: value for name, value in filled.items() if name not in given or given[name] is None},
        choices={"criterion": method.criteria},
        hidden=frozenset(_hidden(method, filled)),
        help={"method": f"{method.name}: {method.summary} · enter lists all {len(METHODS)} methods"},
    )


def _hidden(method: Method, filled: Values) -> Iterator[str]:
    if len(method.criteria) < 2:
        yield "criterion"
    if filled.get("keep") is not None:
        yield from ("sparsity", "allocation", "scope")
    if filled.get("remove") is not None:
        yield "sparsity"
    if not filled.get("recover_steps"):
        yield from _RECOVERY
    if not _calibrates(method, filled) and not filled.get("recover_steps"):
        yield from _CALIBRATION


def _calibrates(method: Method, filled: Values) -> bool:
    """Whether calibration text is read; of values that no run could have, what the method usually does."""
    try:
        return method.calibrates(unchecked(filled))
    except (AttributeError, TypeError, ValueError):
        return method.calibration != "no"
