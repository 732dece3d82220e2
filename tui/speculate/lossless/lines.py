"""A test of losslessness in words and rows. Pure."""

from __future__ import annotations

from textual.content import Content

from core.sanitize import clean
from core.speculate.lossless.result import Comparison, SpeculateTestResult
from tui.experiment.finished import Column, Finished
from tui.experiment.names import model
from tui.speculate.names import number, setting
from tui.widgets import words
from tui.widgets.hanging import hanging

COLUMNS: tuple[Column[Comparison], ...] = (
    Column("comparison", 28, lambda found: clean(found.name), "left"),
    Column("draws", 10, lambda found: words.count(found.draws), needs=102),
    Column("cells", 7, lambda found: words.count(found.cells), needs=102),
    Column("TV", 9, lambda found: f"{found.total_variation:.5f}"),
    Column("bound", 9, lambda found: f"{found.bound:.5f}"),
    Column("chi-square", 12, lambda found: words.figure(found.chi_square), needs=80),
    Column("df", 6, lambda found: words.count(found.degrees_of_freedom), needs=86),
    Column("p", 9, lambda found: words.figure(found.p_value, 3), needs=70),
    Column("", 11, lambda found: "✓ within" if found.passed else "✗ outside"),
)


Tested = Finished[SpeculateTestResult]


def verdict(tested: Tested) -> Content:
    """Passed or failed, in words."""
    result = tested.result
    if result.lossless:
        return Content.styled("✓ passed: speculative text is indistinguishable from the target's own", "bold $text-success")
    return Content.styled("✗ failed: speculation changes the target's output", "bold $text-error")


def lines(tested: Tested, *, notes: bool) -> list[tuple[str, str]]:
    """(name, text) of what was tested and found; with `notes` also how."""
    result = tested.result
    named = f" {clean(result.draft, limit=50)}" if result.draft else ""
    sure = words.percent(result.confidence, 0)
    outside = [each for each in result.comparisons if not each.passed]
    count = len(result.comparisons)
    within = f"{len(outside)} of {count} comparisons outside" if outside else f"all {count} comparisons within"
    sampling = f"top-p {number(result.top_p)}{f', top-k {result.top_k}' if result.top_k else ''}"
    return [
        ("tested", f"{setting(result.drafter, result.gamma, result.temperature)}, {sampling}{named and ':'}{named} for {model(tested.run.values)}"),
        (
            "distribution",
            f"total variation {words.figure(result.total_variation, 3)} of the toy, bound {words.figure(result.total_variation_bound, 3)}; {within}",
        ),
        ("greedy", _greedy(result)),
        ("meaning", f"an exact implementation passes the whole test with a probability of at least {sure}"),
        ("cost", f"{words.duration(result.seconds)}, peak memory {words.size(result.peak_rss_bytes)}"),
        *(("note", clean(text)) for text in (*result.warnings, *(result.notes if notes else ()))),
    ]


def _greedy(result: SpeculateTestResult) -> str:
    greedy = result.greedy
    if greedy is None:
        return "not tested"
    same = f"{greedy.identical} of {greedy.prompts} texts identical to plain greedy decoding, {words.count(greedy.tokens)} tokens"
    return same if greedy.first_difference is None else f"{same}; first difference: {clean(greedy.first_difference, limit=200)}"


def describe(tested: Tested, width: int, *, notes: bool = True) -> Content:
    """The whole head."""
    head = Content.assemble(verdict(tested), ("  " + tested.run.id, "dim"))
    return Content("\n").join([head, hanging(lines(tested, notes=notes), width)])
