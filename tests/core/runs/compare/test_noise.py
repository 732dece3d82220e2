"""Differences within noise are called neither better nor worse."""

from __future__ import annotations

from typing import Any

import pytest

from core.runs.compare.compare import compare
from tests.core.runs.compare.test_compare import EVALUATION, finished, measure
from tui.runs.compare import compared


@pytest.mark.parametrize(
    ("name", "left", "right", "best"),
    [
        ("kl_mean", {"kl_mean": 0.0100, "kl_se": 0.001}, {"kl_mean": 0.0110, "kl_se": 0.001}, None),
        ("kl_mean", {"kl_mean": 0.0100, "kl_se": 0.001}, {"kl_mean": 0.0200, "kl_se": 0.001}, 0),
        ("top1_agreement", {"top1_agreement": 0.91, "top1_se": 0.004}, {"top1_agreement": 0.92, "top1_se": 0.004}, None),
        ("top1_agreement", {"top1_agreement": 0.91, "top1_se": 0.001}, {"top1_agreement": 0.92, "top1_se": 0.001}, 1),
        ("ppl_ratio", {"ppl_ratio": 1.01, "ln_ppl_ratio_se": 0.01}, {"ppl_ratio": 1.03, "ln_ppl_ratio_se": 0.01}, None),
        ("ppl_after", {"ppl_after": 10.0, "ln_ppl_ratio_se": 0.01}, {"ppl_after": 12.0, "ln_ppl_ratio_se": 0.01}, 0),
        ("bits_per_byte", {"bits_per_byte": 1.10, "nll_mean": 2.8, "nll_se": 0.1}, {"bits_per_byte": 1.12, "nll_mean": 2.9, "nll_se": 0.1}, None),
        ("kivi-4.ppl", {"kivi-4.ppl": 8.0, "kivi-4.ppl_se": 0.2}, {"kivi-4.ppl": 8.1, "kivi-4.ppl_se": 0.2}, None),
        ("kivi-4.ppl", {"kivi-4.ppl": 8.0, "kivi-4.ppl_se": 0.01}, {"kivi-4.ppl": 8.1, "kivi-4.ppl_se": 0.01}, 0),
        ("seconds", {"seconds": 4.9}, {"seconds": 5.1}, None),
        ("seconds", {"seconds": 4.9}, {"seconds": 7.0}, 0),
        ("ttft_p95_ms", {"ttft_p95_ms": 100.0}, {"ttft_p95_ms": 93.0}, None),
        ("throughput_tokens_per_second", {"throughput_tokens_per_second": 100}, {"throughput_tokens_per_second": 105}, None),
        ("peak_rss_bytes", {"peak_rss_bytes": 1000}, {"peak_rss_bytes": 1010}, None),
        ("bytes_after", {"bytes_after": 1000}, {"bytes_after": 1001}, 0),
        ("bits_per_weight", {"bits_per_weight": 4.25}, {"bits_per_weight": 4.24}, 1),
    ],
)
def test_only_more_than_noise_is_better(name: str, left: dict[str, Any], right: dict[str, Any], best: int | None) -> None:
    one, other = runs = [finished(left), finished(right)]
    found = measure(name, runs)
    assert found.best == best
    assert found.within_noise == (best is None)
    words = compared(one, other, 120).plain
    assert ("within noise" in words) == any(each.within_noise for each in compare(runs).measures)


def test_the_best_of_several_is_better_than_every_other() -> None:
    values = [{"kl_mean": value, "kl_se": 0.001} for value in (0.010, 0.011, 0.050)]
    assert measure("kl_mean", [finished(each) for each in values]).best is None
    assert measure("kl_mean", [finished(each) for each in (values[0], values[2], values[2])]).best == 0


@pytest.mark.parametrize(("part", "one", "other"), [("context", 512, 256), ("context", 512, 1024), ("tokens_scored", 99, 1000), ("corpus", "z", "a")])
def test_what_is_not_comparable_is_neither_better_nor_worse_and_named_in_the_order_of_the_runs(part: str, one: object, other: object) -> None:
    runs = [finished({"ppl": 5.0, "bytes_after": 2}, EVALUATION | {part: one}), finished({"ppl": 9.0, "bytes_after": 1}, EVALUATION | {part: other})]
    assert measure("ppl", runs).best is None
    assert not measure("ppl", runs).within_noise
    assert measure("bytes_after", runs).best == 1
    assert f"({one} and {other})" in compare(runs).warnings[0]
