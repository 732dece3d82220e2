"""All filters in turn, with a count for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress

from core.distill.data.filters.empty import has_text
from core.distill.data.filters.exact import first_of_equals
from core.distill.data.filters.example import Example, Filter, each
from core.distill.data.filters.language import in_language
from core.distill.data.filters.near import unlike_earlier
from core.distill.data.filters.overlap import apart_from
from core.distill.data.filters.refusal import is_willing
from core.distill.data.filters.repetition import is_free_of_loops
from core.distill.data.filters.truncated import is_whole
from core.distill.data.spec import LanguageRule


@dataclass(frozen=True)
class NamedFilter:
    """A filter as a result shows it."""

    name: str
    title: str
    stays: Filter


@dataclass(frozen=True)
class Counted:
    """What one filter did."""

    filter: NamedFilter
    removed: int
    left: int


def usual_filters(language: LanguageRule, near: float) -> tuple[NamedFilter, ...]:
    """In the order in which they are applied: cheap and certain ones first."""
    return (
        NamedFilter("empty", "no text", each(has_text)),
        NamedFilter("truncated", "cut off at the maximum length", each(is_whole)),
        NamedFilter("refusal", "refuses the task", each(is_willing)),
        NamedFilter("repetition", "loops", each(is_free_of_loops)),
        NamedFilter("language", "another language than wanted", in_language(language)),
        NamedFilter("exact", "same as an earlier example", first_of_equals),
        NamedFilter("near", "nearly the same as an earlier example", unlike_earlier(near)),
    )


def overlap_filter(prompts: Iterable[str], texts: Iterable[str]) -> NamedFilter:
    """The filter against held-out prompts and texts."""
    return NamedFilter("held-out", "repeats held-out text", apart_from(prompts, texts))


def filtered(examples: Sequence[Example], filters: Sequence[NamedFilter]) -> tuple[list[Example], list[Counted]]:
    """The examples that every filter lets through, and what each removed of those that came to it."""
    left, counts = list(examples), []
    for each_filter in filters:
        before = len(left)
        left = list(compress(left, each_filter.stays(left)))
        counts.append(Counted(each_filter, before - len(left), len(left)))
    return left, counts
