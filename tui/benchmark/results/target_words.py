"""One target as cells of a table, and in words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt

from rich.text import Text

from core.benchmark.analysis.comparison import Compared
from core.benchmark.compare.result import BenchmarkCompareResult
from core.benchmark.metrics import BY_TAG
from core.benchmark.result import BenchmarkResult, Level, PercentileFigure, Quality, RequestCounts, SampleFigure, Threshold
from core.measure.percentiles import samples_needed
from core.sanitize import clean
from tui.benchmark.results.entries import Entry
from tui.experiment.finished import Column
from tui.widgets import words

KNEE, FEW, FOREIGN, WARNED = "◆", "?", "≠", "!"
MARKS = {True: "✓", False: "✗", None: "–"}
STYLES = {True: "$text-success", False: "$text-error", None: "$text-muted"}


def signs(entries: Sequence[Entry], reference: Entry | None) -> str:
    """What the signs mean that are in the table."""
    few = any(not figure.enough for entry in entries for tag in _SHOWN for figure in _percentiles(entry.sample(tag)))
    parts = (
        (few, f"{FEW} fewer samples than required (p99: {samples_needed(99.0)}, p95: {samples_needed(95.0)})"),
        (any(entry.is_knee for entry in entries), f"{KNEE} knee of the sweep"),
        (any(_warned(entry) for entry in entries), f"{WARNED} warnings"),
        (any(entry.foreign for entry in entries), f"{FOREIGN} different load or machine from {reference.letter if reference is not None else 'a'}"),
    )
    return " · ".join(text for shown, text in parts if shown)


_SHOWN = ("ttft_ms", "tpot_ms", "itl_ms")


def _percentiles(figure: SampleFigure | None) -> Sequence[PercentileFigure]:
    return () if figure is None else [each for each in figure.percentiles if each.level in (50.0, 95.0, 99.0)]


def passed(entry: Entry) -> bool | None:
    """Whether all thresholds were met; None where there were none."""
    judged = [threshold.passed for threshold in entry.thresholds]
    return None if not judged or entry.level is not None else all(each is True for each in judged)


def percentile(figure: SampleFigure | None, level: float) -> PercentileFigure | None:
    """One percentile of a distribution."""
    return None if figure is None else next((each for each in figure.percentiles if each.level == level), None)


def _sign(entry: Entry) -> Text:
    verdict = passed(entry)
    sign = KNEE if entry.is_knee else " " if verdict is None else MARKS[verdict]
    warned = (WARNED, "yellow") if _warned(entry) else " "
    return Text.assemble((entry.letter or " ", "bold"), (sign, "green" if verdict else "red" if verdict is False else ""), warned)


def _warned(entry: Entry) -> bool:
    return entry.level is None and bool(entry.warnings)


def _at(tag: str, level: float) -> Callable[[Entry], str | Text]:
    def cell(entry: Entry) -> str | Text:
        found = percentile(entry.sample(tag), level)
        if found is None:
            return words.NOTHING
        text = f"{FOREIGN if entry.foreign else ''}{words.figure(found.value, 3)}"
        return text if found.enough else Text(f"{text}{FEW}", style="dim")

    return cell


def _median(tag: str, width: int, needs: int = 0) -> Column[Entry]:
    return Column(f"{BY_TAG[tag].short} p50", width, _at(tag, 50.0), needs=needs)


def _speed(entry: Entry) -> str:
    return f"{FOREIGN if entry.foreign else ''}{words.figure(entry.figures.throughput_tokens_per_second, 3)}"


def _errors(entry: Entry) -> str | Text:
    counts = entry.figures.requests
    bad = counts.failed + counts.timed_out
    return Text(f"✗ {words.count(bad)}", style="bold red") if bad else "0"


def _memory(entry: Entry) -> str:
    server = entry.entry.server
    return words.size(server.gpu_bytes or server.host_bytes)


def _weights(entry: Entry) -> str:
    return words.size(entry.entry.model_bytes)


def _share(entry: Entry) -> str:
    return words.percent(entry.entry.quality.accuracy, 0)


_TARGET: tuple[Column[Entry], ...] = (
    Column("", 4, _sign, "left"),
    Column("target", 15, lambda entry: entry.title, "left", below=68),
    Column("target", 17, lambda entry: entry.title, "left", needs=68, below=150),
    Column("target", 30, lambda entry: entry.title, "left", needs=150),
)
SPEED: tuple[Column[Entry], ...] = (
    *_TARGET,
    Column("token/s", 8, _speed),
    _median("ttft_ms", 9),
    Column("p95", 7, _at("ttft_ms", 95.0), needs=84),
    Column("p99", 7, _at("ttft_ms", 99.0)),
    _median("tpot_ms", 9),
    Column("p95", 7, _at("tpot_ms", 95.0), needs=105),
    Column("p99", 7, _at("tpot_ms", 99.0), needs=91),
    _median("itl_ms", 8, needs=70),
    Column("p95", 7, _at("itl_ms", 95.0), needs=98),
    Column("p99", 7, _at("itl_ms", 99.0), needs=77),
    Column("goodput", 8, lambda entry: words.figure(entry.figures.goodput_requests_per_second, 3), needs=113),
    Column("errors", 7, _errors),
    Column("memory", 10, _memory, needs=124),
    Column("ppl", 8, lambda entry: words.figure(entry.entry.quality.ppl), needs=134),
    Column("run", 6, lambda entry: clean(entry.run.id.rpartition("-")[2]) if entry.level is None else "", needs=156),
)
"""How fast."""
WORTH: tuple[Column[Entry], ...] = (
    *_TARGET,
    Column("memory", 10, _memory),
    Column("weights", 10, _weights),
    Column("ppl", 8, lambda entry: words.figure(entry.entry.quality.ppl)),
    Column("± ", 7, lambda entry: "" if entry.entry.quality.ppl_se is None else words.figure(entry.entry.quality.ppl_se, 2), needs=77),
    Column("KL", 9, lambda entry: words.figure(entry.entry.quality.kl_mean, 2)),
    Column("right", 6, _share, needs=70),
    Column("goodput", 8, lambda entry: words.figure(entry.figures.goodput_requests_per_second, 3), needs=85),
    _median("e2el_ms", 9, needs=94),
    Column("p95", 7, _at("e2el_ms", 95.0), needs=101),
    Column("p99", 7, _at("e2el_ms", 99.0), needs=108),
    Column("token/J", 8, lambda entry: words.figure(entry.entry.server.tokens_per_joule, 3), needs=116),
    Column("cost", 8, lambda entry: words.figure(entry.entry.cost_per_million_tokens, 3), needs=124),
    Column("run", 6, lambda entry: clean(entry.run.id.rpartition("-")[2]) if entry.level is None else "", needs=145),
)
"""What it takes, and what the answers are worth."""
SETS: tuple[tuple[str, tuple[Column[Entry], ...]], ...] = (("latencies", SPEED), ("memory and quality", WORTH))
"""Sets of columns that take turns, by name."""


def facts(entry: Entry) -> list[tuple[str, str]]:
    """Everything that was measured of a target, in words."""
    found, level, counts = entry.entry, entry.best, entry.figures.requests
    rows: list[tuple[str, str | None]] = [
        ("target", f"{' '.join(filter(None, (found.engine, found.engine_version)))} at {found.url}, model {found.served_model or found.model}"),
        ("load", f"{entry.result.load}{'' if level.level is None else f', level {level.level:g}'}"),
        ("requests", _counts(counts)),
        ("throughput", _throughput(entry)),
        *((name, _distribution(entry.sample(tag))) for name, tag in _METRICS),
        ("goodput", None if level.goodput_requests_per_second is None else _goodput(entry)),
        ("sweep", _sweep(entry) if entry.is_sweep else None),
        ("server", _server(entry)),
        ("memory", _memories(entry)),
        ("energy", _energy(entry)),
        ("cost", None if found.cost_per_million_tokens is None else f"{words.figure(found.cost_per_million_tokens, 3)} per million tokens"),
        *_quality(entry.entry.quality),
        ("client", _client(entry)),
        ("stopped", entry.result.stopped),
        ("pauses", _pauses(level)),
        ("window", f"{words.duration(level.seconds)}, {level.window}"),
        *((f"{error.count} x", f"{error.status}: {error.reason}") for error in found.errors),
        ("machine", _machine(entry)),
        ("started", found.command),
        ("run", entry.run.id),
        (FOREIGN, "different load or machine from the reference: figures are not comparable" if entry.foreign else None),
    ]
    return [(clean(name, limit=20), clean(text, limit=1000)) for name, text in rows if text]


_METRICS = (
    ("TTFT", "ttft_ms"),
    ("TPOT", "tpot_ms"),
    ("ITL", "itl_ms"),
    ("end to end", "e2el_ms"),
    ("normalized", "normalized_ms"),
    ("queue", "queue_ms"),
)


def _counts(counts: RequestCounts) -> str:
    bad = ((counts.failed, "failed"), (counts.timed_out, "timed out"), (counts.unsent, "unsent"))
    rest = [f"{words.count(count)} {name}" for count, name in bad if count]
    if 0 < counts.cancelled <= counts.unsent:
        rest[-1] += f" ({words.count(counts.cancelled)} of them cut off in flight)"
    return ", ".join([f"{words.count(counts.done)} of {words.count(counts.scheduled)} answered", *rest])


def _throughput(entry: Entry) -> str:
    level = entry.best
    parts = [
        f"{words.figure(level.throughput_tokens_per_second, 3)} token/s",
        f"{words.figure(level.throughput_requests_per_second, 3)} request/s",
        f"{words.figure(level.throughput_total_tokens_per_second, 3)} token/s with the prompts",
    ]
    return ", ".join(parts)


def _distribution(figure: SampleFigure | None) -> str | None:
    if figure is None or not figure.n:
        return None
    parts = [text for level in (50.0, 95.0, 99.0) if (text := _percentile(figure, level))]
    return f"{', '.join(parts)} {figure.unit}; mean {words.figure(figure.mean, 3)}, n {words.count(figure.n)}"


def _percentile(figure: SampleFigure, level: float) -> str:
    found = percentile(figure, level)
    if found is None:
        return ""
    ends = "" if found.low is None or found.high is None else f" ({words.figure(found.low, 3)} to {words.figure(found.high, 3)})"
    return f"p{level:g} {words.figure(found.value, 3)}{'' if found.enough else FEW}{ends}"


def _goodput(entry: Entry) -> str:
    level = entry.best
    met = {True: ", objectives met by 99 % of the requests", False: ", objectives missed by more than 1 % of the requests", None: ""}
    return f"{words.figure(level.goodput_requests_per_second, 3)} request/s met {_listed(entry)}{met[level.meets_objectives]}"


def _listed(entry: Entry) -> str:
    objectives = entry.run.values.get("objectives")
    return ", ".join(map(str, objectives)) if isinstance(objectives, list | tuple) and objectives else "the objectives"


def _sweep(entry: Entry) -> str:
    knee = entry.entry.knee
    bend = "too few levels for a knee" if knee is None else f"knee at {knee:g} (most throughput / latency)"
    meets = entry.entry.highest_meeting
    most = "the most throughput" if meets is None else f"the most throughput that meets the objectives; they are met up to {meets:g}"
    best = "" if entry.best.level is None else f"; the figures are of {entry.best.level:g}, {most}"
    return f"{len(entry.entry.levels)} levels, {bend}{best}"


def _server(entry: Entry) -> str | None:
    server = entry.entry.server
    known = (
        ("at most {} running", words.count(server.peak_running), server.peak_running),
        ("{} waiting", words.count(server.peak_waiting), server.peak_waiting),
        ("KV cache {} full", words.percent(server.peak_kv_usage, 0), server.peak_kv_usage),
        ("{} of prompt tokens found in the prefix cache", words.percent(server.prefix_hit_rate, 1), server.prefix_hit_rate),
        ("{} of drafts accepted", words.percent(server.acceptance, 1), server.acceptance),
    )
    return ", ".join(form.format(text) for form, text, value in known if value is not None) or None


def _memories(entry: Entry) -> str | None:
    server = entry.entry.server
    known = (("host", server.host_bytes), ("GPU", server.gpu_bytes), ("weights on disk", entry.entry.model_bytes))
    return ", ".join(f"{name} {words.size(value)}" for name, value in known if value is not None) or None


def _energy(entry: Entry) -> str | None:
    server = entry.entry.server
    known = (("GPUs", server.joules), ("processors", server.processor_joules))
    parts = [f"{name} {words.figure(value, 3)} J" for name, value in known if value is not None]
    if server.tokens_per_joule is not None:
        parts.append(f"{words.figure(server.tokens_per_joule, 3)} tokens per joule{f' of the {server.energy_of}' if server.energy_of else ''}")
    return ", ".join(parts) or None


def _quality(found: Quality) -> list[tuple[str, str | None]]:
    share = found.accuracy
    right = None
    if share is not None and found.questions is not None:
        error = sqrt(share * (1 - share) / (found.questions - 1)) if found.questions > 1 else None
        right = f"{words.count(found.correct)} of {words.count(found.questions)} right, {words.plus_minus(words.percent(share, 1), error, scale=100)}"
    ppl = words.plus_minus(words.figure(found.ppl), found.ppl_se)
    return [
        ("perplexity", None if found.ppl is None else f"{ppl}, {words.count(found.tokens)} tokens scored"),
        ("KL", None if found.kl_mean is None else f"{words.plus_minus(words.figure(found.kl_mean, 3), found.kl_se)} nat from the reference"),
        ("questions", right),
        ("quality", found.words),
    ]


def _pauses(level: Level) -> str | None:
    if not level.pauses:
        return None
    spans = ", ".join(f"{words.duration(each.seconds)} at {words.duration(each.at)}" for each in level.pauses)
    return f"{spans}: no new requests were sent, excluded from rates"


def _client(entry: Entry) -> str:
    found = entry.entry
    counted = {
        "server": "tokens counted by the server",
        "tokenizer": "tokens counted with the model's tokenizer",
        "unknown": "tokens not counted",
    }
    parts = [counted[found.token_counts]]
    parts += [f"{words.count(found.connections)} connections"] if found.connections is not None else []
    parts += [f"p99 lag {words.figure(found.client_lag_ms, 3)} ms"] if found.client_lag_ms is not None else []
    return ", ".join(parts)


def _machine(entry: Entry) -> str:
    machine = entry.result.machine
    known = (("", machine.processor), ("cores", machine.cores), ("memory", words.size(machine.memory_bytes)))
    return ", ".join(f"{name} {value}".strip() for name, value in known if value is not None)


def compared(found: Sequence[Compared]) -> list[tuple[str, str]]:
    """By which factor each aspect differs from the reference's, and whether that is more than noise."""
    marks = {"better": "✓ ", "worse": "✗ "}
    return [(each.aspect.title, f"{marks.get(each.verdict, '')}{clean(each.words, limit=160)}") for each in found if each.ratio is not None]


def recommended(result: BenchmarkResult) -> list[tuple[str, str]]:
    """What a comparison recommends, and what it left out."""
    if not isinstance(result, BenchmarkCompareResult):
        return []
    found = [(clean(each.title, limit=40), clean(each.words, limit=300)) for each in result.recommendations]
    return [*found, *(("skipped", clean(f"{each.target}: {each.reason}", limit=400)) for each in result.left_out)]


def threshold(found: Threshold) -> str:
    """`✓ ttft.p95 < 500ms: 480 ms`."""
    share = "%" in found.expression or found.expression.rpartition(": ")[2].lstrip().startswith(("errors", "timeouts"))
    figure = words.percent(found.value, 1) if share else f"{words.figure(found.value, 3)} {found.unit if found.unit != '1' else ''}".strip()
    value = words.NOTHING if found.value is None else figure
    return clean(f"{MARKS[found.passed]} {found.expression}: {value}{f' ({found.words})' if found.words else ''}", limit=300)
