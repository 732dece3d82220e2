"""A result as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.benchmark.result import BenchmarkResult
from core.evaluate.result import Convention
from core.evaluate.verify.result import VerifyResult
from core.result import Figures, Result
from core.runs.figures import figure, show
from core.speculate.lossless.result import SpeculateTestResult
from tui.cli.printing.output import narrate, print_facts, print_table


def print_result(result: Result) -> None:
    """Figures before and after side by side, then the other figures, the convention and what was made."""
    if isinstance(result, BenchmarkResult):
        from tui.cli.printing.benchmark import print_benchmark

        print_benchmark(result)
        return
    if isinstance(result, VerifyResult):
        _print_checks(result)
    _print_verdicts(result)
    figures = {} if result.capability in _IN_ROWS else result.measured
    paired = _print_pairs(figures)
    errors = {figure(name).error for name in figures}
    rest = [name for name in figures if name not in paired and name not in errors and figures[name] is not None]
    if rest:
        print_table([(figure(name).title, show(name, figures[name]), _error(name, figures)) for name in rest], right=(1,), shrink=())
    for part, columns in _TABLES.get(result.capability, {}).items():
        _print_table(getattr(result, part), columns)
    measured_on, speed = getattr(result, "evaluation", None), getattr(result, "speed_note", "")
    facts = [("speed", speed)] if speed else []
    facts += [("measured on", convention(measured_on))] if isinstance(measured_on, Convention) else []
    if facts:
        print()
        print_facts(facts)
    for note in (*getattr(result, "notes", ()), *getattr(result, "warnings", ())):
        narrate(f"note: {note}")
    print_facts([(artifact.kind, artifact.path) for artifact in result.artifacts])


def convention(evaluation: Convention) -> str:
    """The stated convention of a measurement in one line."""
    return ", ".join(f"{name.replace('_', ' ')} {str(value)[:12] if 'sha' in name else value}" for name, value in evaluation if value is not None)


def _error(name: str, figures: Mapping[str, float | None]) -> str:
    error = figures.get(figure(name).error)
    return "" if error is None else f"± {show(figure(name).error, error)}"


def _print_pairs(figures: Mapping[str, float | None]) -> set[str]:
    """A table of what is known before and after; returns the names that stand in it."""
    names = [name.removesuffix("_before") for name in figures if name.endswith("_before") and f"{name.removesuffix('_before')}_after" in figures]
    rows = []
    for name in names:
        before, after = figures[f"{name}_before"], figures[f"{name}_after"]
        ratio = f"{after / before:.3f}" if before and after is not None else "—"
        rows.append((figure(f"{name}_before").title.removesuffix(" before"), show(f"{name}_before", before), show(f"{name}_after", after), ratio))
    if rows:
        print_table(rows, ("", "before", "after", "ratio"), right=(1, 2, 3))
        print()
    return {f"{name}_{ending}" for name in names for ending in ("before", "after")}


_IN_ROWS = ("kv-cache",)
"""Capabilities whose every figure is in the rows of a table."""

_STATUS = {"pass": "passed", "warn": "doubtful", "fail": "FAILED", "skip": "not made"}


def _print_checks(result: VerifyResult) -> None:
    """The scheme, then each check with its verdict and what was seen."""
    print_facts([("scheme", f"{result.format}: {result.scheme}"), ("verified", "yes" if result.verified else "no")])
    print()
    print_table([(_STATUS[check.status], check.id, check.found) for check in result.checks], ("", "check", "found"), shrink=(2,))
    for check in result.checks:
        if check.status == "fail":
            narrate(f"{check.title}: {check.found}")
    print()


_VERDICTS = {
    "prune": (("description", "removed"),),
    "distill": (("student", "student"), ("objective", "learned by")),
    "speculate": (("draft", "drafted by"), ("lossless", "lossless rule"), ("identical", "greedy texts identical")),
    "speculate-test": (("draft", "drafted by"), ("lossless", "lossless")),
    "kv-cache-pages": (("label", "figures"), ("block_size", "tokens per block"), ("blocks", "blocks")),
}
"""What a result says in words or with yes and no, and how that is called."""


def _print_verdicts(result: Result) -> None:
    chosen = _VERDICTS.get(result.capability, ())
    if chosen:
        print_facts([(title, show(name, getattr(result, name))) for name, title in chosen])
        if isinstance(result, SpeculateTestResult) and result.greedy is not None:
            print_facts([("greedy texts identical", f"{result.greedy.identical} of {result.greedy.prompts}")])
        print()


Columns = Mapping[str, str]
_TABLES: Mapping[str, Mapping[str, Columns]] = {
    "quantize-compare": {
        "rows": {
            "title": "quantization",
            "bytes": "size",
            "bits_per_weight": "bits",
            "relative_error": "error",
            "output_cosine": "cosine",
            "ppl": "ppl",
            "kl_mean": "KL, nat",
        },
    },
    "prune": {
        "kept": {"axis": "axis", "before": "before", "after": "after", "lost": "rules out"},
        "blocks": {
            "block": "block",
            "kl": "KL without it, nat",
            "ppl_ratio": "ppl ratio",
            "influence": "influence",
            "angular": "angular",
            "step": "removed as no.",
        },
        "agreement": {"measure": "measure", "spearman": "rank correlation with KL"},
    },
    "prune-compare": {
        "rows": {
            "title": "pruning",
            "sparsity": "removed",
            "bytes": "size",
            "ppl": "ppl",
            "kl_mean": "KL, nat",
            "top1_agreement": "top-1",
            "decode_speedup": "decode",
            "prefill_speedup": "prefill",
        },
    },
    "distill": {
        "places": {
            "before": "after",
            "token": "comes",
            "teacher": "teacher expects",
            "teacher_probability": "with",
            "student": "student expects",
            "student_probability": "with",
            "kl": "KL, nat",
        },
    },
    "distill-compare": {
        "rows": {
            "title": "learned from",
            "ppl": "ppl",
            "kl_mean": "KL, nat",
            "top1_agreement": "top-1",
            "gap_closed": "gap closed",
            "over_text": "ln ppl below text alone",
            "over_text_se": "±",
            "best_step": "best step",
        },
    },
    "distill-data": {
        "filters": {"title": "filter", "removed": "removed", "left": "left"},
        "failures": {"reason": "failed because", "count": "requests"},
    },
    "kv-cache": {
        "rows": {
            "name": "scheme",
            "bytes_held": "bytes held",
            "bytes_per_token": "bytes/token",
            "ttft_ms": "TTFT, ms",
            "tpot_ms": "TPOT, ms",
            "ppl": "ppl",
            "ppl_ratio": "ratio",
            "kl_mean": "KL, nat",
            "top1_agreement": "top-1",
            "needle_rate": "needles",
        },
    },
    "kv-cache-pages": {
        "rows": {
            "name": "sequence",
            "prompt_tokens": "prompt",
            "hit_tokens": "found",
            "new_tokens": "new",
            "blocks": "blocks",
            "shared_blocks": "shared",
            "waited_steps": "waited",
            "policy": "batching",
            "throughput_tokens_per_second": "tokens/s",
            "latency_mean_s": "latency, s",
            "latency_p95_s": "p95, s",
            "ttft_mean_s": "TTFT, s",
            "utilization_mean": "blocks used",
            "filled_mean": "slots filled",
            "batch_mean": "batch",
            "preemptions": "preempted",
            "refused": "refused",
        },
    },
    "speculate": {
        "rows": {
            "gamma": "gamma",
            "temperature": "temperature",
            "alpha": "alpha",
            "tokens_per_round": "tokens/round",
            "cost_ratio": "c",
            "verification_ratio": "v",
            "predicted_speedup": "predicted",
            "speedup": "measured",
            "tokens_per_second": "tokens/s",
            "baseline_tokens_per_second": "plain",
            "identical": "identical",
        },
    },
    "speculate-test": {
        "comparisons": {
            "name": "comparison",
            "draws": "draws",
            "total_variation": "TV",
            "bound": "bound",
            "chi_square": "chi-square",
            "degrees_of_freedom": "df",
            "p_value": "p-value",
            "passed": "passed",
        },
    },
    "kv-cache-why": {
        "rows": {
            "tokens": "tokens",
            "with_ms": "with, ms",
            "without_ms": "without, ms",
            "speedup": "faster",
            "total_speedup": "all faster",
            "with_projections": "K, V with",
            "without_projections": "K, V without",
            "cache_bytes": "cache",
        },
    },
    "benchmark-machine": {
        "squares": {"device": "device", "dtype": "numbers", "size": "size", "gflops": "GFLOP/s", "deviation": "±", "reason": "why not"},
        "bandwidths": {"device": "device", "traffic": "memory", "bytes": "bytes", "gb_per_second": "GB/s", "deviation": "±", "reason": "why not"},
        "rows": {
            "device": "device",
            "dtype": "numbers",
            "product": "product",
            "phase": "phase",
            "rows": "rows",
            "intensity": "op/byte",
            "bound": "bound by",
            "attainable_gflops": "attainable",
            "gflops": "GFLOP/s",
            "deviation": "±",
            "share": "share",
            "reason": "why not",
        },
    },
}
"""Tables of a result, by the name of the field: columns and their headings."""


def _print_table(rows: Sequence[Figures], columns: Columns) -> None:
    """Columns that no row has, or all have empty, are left out."""
    chosen = {name: title for name, title in columns.items() if any(getattr(row, name, "") not in ("", ()) for row in rows)}
    if chosen:
        print()
        cells = [[_cell(name, getattr(row, name, None)) for name in chosen] for row in rows]
        longest = (len(chosen) - 1,) if any(isinstance(getattr(row, list(chosen)[-1], None), tuple) for row in rows) else (0,)
        print_table(cells, list(chosen.values()), right=range(1, len(chosen)), shrink=longest)


def _cell(name: str, value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else show(name, value)
