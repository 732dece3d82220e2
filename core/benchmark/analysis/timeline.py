"""What a load was, request by request, and in all: kept alongside the figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.benchmark.analysis.arrivals_window import arrivals_window
from core.benchmark.analysis.steady import steady_window
from core.benchmark.client.load import LoadResult
from core.benchmark.client.outcome import Outcome
from core.benchmark.metrics.base import Window
from core.benchmark.result import Timeline


def window_of(carried: LoadResult) -> tuple[Window, str]:
    """The steady part of a load, and how it was found, in words."""
    last = max((outcome.pieces[-1].t for outcome in carried.outcomes if outcome.pieces), default=carried.end)
    choose = arrivals_window if carried.paced else steady_window
    return choose(carried.outcomes, carried.begin, last + 1, carried.pauses)


def measured_in(carried: LoadResult, window: Window) -> list[Outcome]:
    """The requests that latencies are of: those that were due within the window, where they had no time of their own sent within it.

    A request that was due in it and sent after it waited in the client: it belongs to those that tell how the server fared.
    """
    return [outcome for outcome in carried.outcomes if _begun(outcome, window, paced=carried.paced)]


def timeline_of(carried: LoadResult, window: Window) -> Timeline:
    """Every request of a load with its times."""

    def seconds(t: int) -> float:
        return round((t - carried.begin) / 1e9, 6)

    def known(t: int | None) -> float | None:
        return None if t is None else seconds(t)

    outcomes = carried.outcomes
    return Timeline(
        status=tuple(outcome.status for outcome in outcomes),
        due=tuple(seconds(outcome.due) for outcome in outcomes),
        sent=tuple(known(outcome.sent) for outcome in outcomes),
        first=tuple(known(outcome.pieces[0].t if outcome.pieces else None) for outcome in outcomes),
        last=tuple(known(outcome.pieces[-1].t if outcome.pieces else None) for outcome in outcomes),
        tokens=tuple(outcome.tokens for outcome in outcomes),
        measured=tuple(outcome.sent is not None and _begun(outcome, window, paced=carried.paced) for outcome in outcomes),
    )


def totals_of(outcomes: Sequence[Outcome]) -> tuple[int | None, int | None]:
    """Tokens of the prompts and of the answers of the requests that are done; None where one of them is not known."""
    done = [outcome for outcome in outcomes if outcome.status == "done"]
    return _total(outcome.usage.prompt for outcome in done), _total(outcome.tokens for outcome in done)


def prefix_found(outcomes: Sequence[Outcome]) -> float | None:
    """Share of the prompts' tokens that the server's usage says were in its prefix cache; None where it does not say of every request."""
    said = [(outcome.usage.cached, outcome.usage.prompt) for outcome in outcomes if outcome.status == "done"]
    known = [(cached, prompt) for cached, prompt in said if cached is not None and prompt]
    return sum(cached for cached, _ in known) / sum(prompt for _, prompt in known) if known and len(known) == len(said) else None


def _total(counts: Iterable[int | None]) -> int | None:
    held = list(counts)
    known = [count for count in held if count is not None]
    return sum(known) if known and len(known) == len(held) else None


def _begun(outcome: Outcome, window: Window, *, paced: bool) -> bool:
    return window.holds(outcome.due if paced or outcome.sent is None else outcome.sent)
