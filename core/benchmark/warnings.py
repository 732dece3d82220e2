"""What must be said beside the figures."""

from __future__ import annotations

from collections.abc import Sequence

from core.benchmark.metrics import SAMPLES
from core.benchmark.percentiles import samples_needed
from core.benchmark.result import BenchmarkEntry
from core.benchmark.spec import PACED, BenchmarkSpec
from core.benchmark.workload import Prompt

ESTIMATED = "no tokenizer of the model is at hand: lengths of prompts are estimates of four characters a token"
_RATE_REACHED = 0.95
_QUEUE_SHARE = 0.05


def warnings_of(spec: BenchmarkSpec, entry: BenchmarkEntry, prompts: Sequence[Prompt]) -> tuple[str, ...]:
    """Sentences, the gravest first."""
    level = entry.levels[-1]
    found = []
    bad = entry.requests.failed + entry.requests.timed_out
    if bad:
        found.append(f"{bad} of {entry.requests.scheduled} requests failed or timed out: latencies are those of the others")
    if entry.requests.unsent:
        found.append(f"{entry.requests.unsent} requests were not sent before the load ended")
    if spec.load in PACED and level.achieved_rate is not None and level.achieved_rate < _RATE_REACHED * spec.rate:
        found.append(f"the rate of {spec.rate:g} requests a second was not reached: {level.achieved_rate:.3g} were sent")
    queue, latency = level.metrics["queue_ms"].p95, level.metrics["e2el_ms"].p50
    if queue is not None and latency and queue > max(_QUEUE_SHARE * latency, 5.0):
        found.append(
            f"requests waited in the client (p95 {queue:.0f} ms) for a free slot or for the client itself: that time is part of their latencies"
        )
    small = [metric.title for metric in SAMPLES if 0 < level.metrics[metric.tag].n < samples_needed(99.0)]
    if small:
        found.append(f"fewer than {samples_needed(99.0)} samples of {', '.join(small[:2])}: a p99 of them cannot be claimed")
    if entry.token_counts == "tokenizer":
        found.append("the server gave no usage: tokens were counted with the model's tokenizer")
    elif entry.token_counts == "unknown" and entry.requests.done:
        found.append("the server gave no usage and no tokenizer is at hand: figures a token are not known")
    if prompts and prompts[0].input_tokens is None:
        found.append(ESTIMATED)
    return tuple(found)
