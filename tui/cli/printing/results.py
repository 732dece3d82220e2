"""A result document as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.runs.figures import figure, show
from tui.cli.printing.output import narrate, print_facts, print_table


def print_result(result: dict[str, Any]) -> None:
    """Figures before and after beside each other, then the other figures, the convention and what was made."""
    if isinstance(result.get("entries"), list):
        from tui.cli.printing.benchmark import print_benchmark

        print_benchmark(result)
        return
    metrics = result.get("metrics")
    _print_checks(result)
    _print_verdicts(result)
    plain = {name: value for name, value in result.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    figures = {name: value for name, value in metrics.items() if not isinstance(value, dict)} if isinstance(metrics, dict) else plain
    paired = _print_pairs(figures)
    errors = {figure(name).error for name in figures}
    rest = [name for name in figures if name not in paired and name not in errors and figures[name] is not None]
    if rest:
        print_table([(figure(name).title, show(name, figures[name]), _error(name, figures)) for name in rest], right=(1,), shrink=())
    capability = str(result.get("capability"))
    for part, columns in _PARTS.get(capability, ()):
        _print_table(result.get(part), columns)
    _print_rows(capability, result.get("rows") or result.get("comparisons"))
    evaluation = result.get("evaluation")
    if isinstance(evaluation, dict):
        print()
        print_facts([("measured on", convention(evaluation))])
    for note in (*(result.get("notes") or ()), *(result.get("warnings") or ())):
        narrate(f"note: {note}")
    print_facts([(str(artifact.get("kind", "file")), str(artifact.get("path", ""))) for artifact in result.get("artifacts") or []])


def convention(evaluation: dict[str, Any]) -> str:
    """The stated convention of a measurement in one line."""
    return ", ".join(
        f"{name.replace('_', ' ')} {str(value)[:12] if 'sha' in name else value}" for name, value in evaluation.items() if value is not None
    )


def _error(name: str, figures: dict[str, Any]) -> str:
    error = figures.get(figure(name).error)
    return "" if error is None else f"± {show(figure(name).error, error)}"


def _print_pairs(figures: dict[str, Any]) -> set[str]:
    """A table of what is known before and after; returns the names that stand in it."""
    names = [name.removesuffix("_before") for name in figures if name.endswith("_before") and f"{name.removesuffix('_before')}_after" in figures]
    rows = []
    for name in names:
        before, after = figures[f"{name}_before"], figures[f"{name}_after"]
        ratio = f"{after / before:.3f}" if isinstance(before, int | float) and isinstance(after, int | float) and before else "—"
        rows.append((figure(f"{name}_before").title.removesuffix(" before"), show(f"{name}_before", before), show(f"{name}_after", after), ratio))
    if rows:
        print_table(rows, ("", "before", "after", "ratio"), right=(1, 2, 3))
        print()
    return {f"{name}_{ending}" for name in names for ending in ("before", "after")}


_STATUS = {"pass": "passed", "warn": "doubtful", "fail": "FAILED", "skip": "not made"}


def _print_checks(result: dict[str, Any]) -> None:
    """Of a verification: the scheme, then each check with its verdict and what was seen."""
    checks = result.get("checks")
    if not isinstance(checks, list):
        return
    print_facts([("scheme", f"{result.get('format')}: {result.get('scheme')}"), ("verified", "yes" if result.get("verified") else "no")])
    print()
    rows = [(_STATUS.get(str(check.get("status")), "?"), str(check.get("id", "")), str(check.get("found", ""))) for check in checks]
    print_table(rows, ("", "check", "found"), shrink=(2,))
    for check in checks:
        if check.get("status") == "fail":
            narrate(f"{check.get('title')}: {check.get('found')}")
    print()


_VERDICTS = {
    "speculate": (("draft", "drafted by"), ("lossless", "lossless rule"), ("identical", "greedy texts identical")),
    "speculate-test": (("draft", "drafted by"), ("lossless", "lossless")),
    "kv-cache-pages": (("label", "figures"), ("block_size", "tokens a block"), ("blocks", "blocks")),
}
"""What a result says in words or with yes and no, and how that is called."""


def _print_verdicts(result: dict[str, Any]) -> None:
    chosen = _VERDICTS.get(str(result.get("capability")), ())
    if chosen:
        print_facts([(title, show(name, result.get(name))) for name, title in chosen])
        greedy = result.get("greedy")
        if isinstance(greedy, dict):
            print_facts([("greedy texts identical", f"{greedy.get('identical')} of {greedy.get('prompts')}")])
        print()


_COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "quantize-compare": (
        ("title", "quantization"),
        ("bytes", "size"),
        ("bits_per_weight", "bits"),
        ("relative_error", "error"),
        ("output_cosine", "cosine"),
        ("ppl", "ppl"),
        ("kl_mean", "KL, nat"),
    ),
    "kv-cache": (
        ("name", "scheme"),
        ("bytes_held", "bytes held"),
        ("bytes_per_token", "bytes/token"),
        ("ttft_ms", "TTFT, ms"),
        ("tpot_ms", "TPOT, ms"),
        ("ppl", "ppl"),
        ("ppl_ratio", "ratio"),
        ("kl_mean", "KL, nat"),
        ("top1_agreement", "top-1"),
        ("needle_rate", "needles"),
    ),
    "kv-cache-pages": (
        ("name", "sequence"),
        ("prompt_tokens", "prompt"),
        ("hit_tokens", "found"),
        ("new_tokens", "new"),
        ("blocks", "blocks"),
        ("shared_blocks", "shared"),
        ("waited_steps", "waited"),
        ("policy", "batching"),
        ("throughput_tokens_per_second", "tokens/s"),
        ("latency_mean_s", "latency, s"),
        ("latency_p95_s", "p95, s"),
        ("ttft_mean_s", "TTFT, s"),
        ("utilization_mean", "blocks used"),
        ("filled_mean", "slots filled"),
        ("batch_mean", "batch"),
        ("preemptions", "preempted"),
        ("refused", "refused"),
    ),
    "speculate": (
        ("gamma", "gamma"),
        ("temperature", "temperature"),
        ("alpha", "alpha"),
        ("tokens_per_round", "tokens/round"),
        ("cost_ratio", "c"),
        ("verification_ratio", "v"),
        ("predicted_speedup", "predicted"),
        ("speedup", "measured"),
        ("tokens_per_second", "tokens/s"),
        ("baseline_tokens_per_second", "plain"),
        ("identical", "identical"),
    ),
    "speculate-test": (
        ("name", "comparison"),
        ("draws", "draws"),
        ("total_variation", "TV"),
        ("bound", "bound"),
        ("chi_square", "chi-square"),
        ("degrees_of_freedom", "df"),
        ("p_value", "p-value"),
        ("passed", "passed"),
    ),
    "kv-cache-why": (
        ("tokens", "tokens"),
        ("with_ms", "with, ms"),
        ("without_ms", "without, ms"),
        ("speedup", "faster"),
        ("total_speedup", "all faster"),
        ("with_projections", "K, V with"),
        ("without_projections", "K, V without"),
        ("cache_bytes", "cache"),
    ),
    "benchmark-machine": (
        ("device", "device"),
        ("dtype", "numbers"),
        ("product", "product"),
        ("phase", "phase"),
        ("rows", "rows"),
        ("intensity", "op/byte"),
        ("bound", "bound by"),
        ("attainable_gflops", "attainable"),
        ("gflops", "GFLOP/s"),
        ("deviation", "±"),
        ("share", "share"),
        ("reason", "why not"),
    ),
}
"""Columns of a result's rows, and how they are headed; other capabilities show every column."""

_PARTS: dict[str, tuple[tuple[str, tuple[tuple[str, str], ...]], ...]] = {
    "benchmark-machine": (
        (
            "squares",
            (("device", "device"), ("dtype", "numbers"), ("size", "size"), ("gflops", "GFLOP/s"), ("deviation", "±"), ("reason", "why not")),
        ),
        (
            "bandwidths",
            (("device", "device"), ("kind", "memory"), ("bytes", "bytes"), ("gb_per_second", "GB/s"), ("deviation", "±"), ("reason", "why not")),
        ),
    ),
}
"""Tables that a result has besides its rows, by the name of the field."""


def _print_rows(capability: str, rows: Any) -> None:
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        return
    every = [(name, figure(name).title) for name, value in rows[0].items() if isinstance(value, int | float | str)]
    _print_table(rows, _COLUMNS.get(capability, every))


def _print_table(rows: Any, columns: Sequence[tuple[str, str]]) -> None:
    """Columns that no row has, or all have empty, are left out."""
    if not isinstance(rows, list | tuple) or not rows or not all(isinstance(row, dict) for row in rows):
        return
    chosen = [column for column in columns if any(row.get(column[0], "") != "" for row in rows)]
    cells = [[show(name, row.get(name)) for name, _ in chosen] for row in rows]
    print()
    print_table(cells, [title for _, title in chosen], right=range(1, len(chosen)))
