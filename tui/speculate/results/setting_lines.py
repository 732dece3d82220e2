"""One measured setting in lines. Pure."""

from __future__ import annotations

from core.sanitize import clean
from tui.experiment.names import model
from tui.speculate.names import number
from tui.speculate.results.settings import Entry
from tui.widgets import words

_TASKS = {"continue": "continuing a text", "edit": "rewriting a text with one change"}


def head(entry: Entry) -> str:
    """Drafter, setting and model."""
    row = entry.row
    named = clean(entry.result.draft or "", limit=50)
    return f"{entry.drafter}{f' {named}' if named else ''}, γ {row.gamma}, T {number(row.temperature)}: {model(entry.run.values)}"


def lines(entry: Entry, *, notes: bool = True) -> list[tuple[str, str]]:
    """(name, text) of every figure; with `notes` also how it was measured."""
    row, result = entry.row, entry.result
    low, high = row.speedup_range
    slower = " a slowdown," if row.speedup < 1 else ""
    spread = f"{low:.2f} to {high:.2f} over the repeats"
    apart = f"{100 * (row.predicted_speedup / row.speedup - 1):+.1f} %" if row.speedup else words.NOTHING
    return [
        (
            "speed-up",
            f"{row.speedup:.2f} times plain decoding,{slower} {spread}; predicted {row.predicted_speedup:.2f} ({apart})",
        ),
        ("acceptance", _acceptance(entry)),
        ("cost", f"c {words.figure(row.cost_ratio, 3)} a drafted token, v {words.figure(row.verification_ratio, 3)} a verification, in plain steps"),
        ("speed", f"{words.figure(row.tokens_per_second, 3)} tokens/s, plain {words.figure(row.baseline_tokens_per_second, 3)} tokens/s"),
        ("text", _text(entry)),
        ("measured on", _work(entry)),
        ("machine", f"{clean(result.device)}, {clean(result.dtype)}, {_threads(result.threads)}; peak memory {words.size(result.peak_rss_bytes)}"),
        *(("note", clean(text)) for text in (*result.warnings, *(result.notes if notes else ()))),
    ]


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"


def _acceptance(entry: Entry) -> str:
    row = entry.row
    if row.alpha is None:
        return "nothing was drafted"
    share = "" if row.drafted_share >= 1 else f"; {words.percent(row.drafted_share, 1)} of rounds had a draft"
    return (
        f"α {words.percent(row.alpha, 1)}; {words.figure(row.tokens_per_round, 3)} tokens per round, {words.figure(row.accepted_per_round, 3)} "
        f"of them drafted{share}"
    )


def _text(entry: Entry) -> str:
    row = entry.row
    if row.identical is None:
        return "sampled: the distribution is the target's, the texts differ" if entry.result.lossless else "sampled with a lossy rule"
    if row.identical:
        return "identical to plain greedy decoding, token for token"
    return f"NOT plain greedy decoding's: {clean(row.first_difference or 'it differs', limit=200)}"


def _work(entry: Entry) -> str:
    result = entry.result
    texts = f"{words.count(result.prompts)} prompts of {words.count(result.prompt_tokens)} tokens, {words.count(result.new_tokens)} new each"
    batch = f", {result.batch} at once" if result.batch > 1 else ""
    return f"{_TASKS.get(result.task, result.task)}: {texts}{batch}, from {clean(result.corpus, limit=60)} (sha256 {clean(result.sha256)[:8]})"
