"""`llmopt prune` on the command line: its help, and its result as text."""

from __future__ import annotations

import pytest

from core.prune.methods import METHODS
from core.prune.result import PruneResult
from core.prune.spec import PruneSpec
from tests.tui.prune import made
from tui.cli.help.prune import EXAMPLES, pruning
from tui.cli.printing.results import print_result


def test_every_method_has_an_example_that_is_a_request() -> None:
    methods = set()
    for arguments in EXAMPLES:
        model, *options = arguments.split()
        given: dict[str, object] = {"model": model}
        for at, word in enumerate(options):
            if word.startswith("--"):
                value = options[at + 1] if at + 1 < len(options) and not options[at + 1].startswith("--") else True
                given[word[2:].replace("-", "_")] = value
        methods.add(PruneSpec.model_validate(given).method)
    assert methods == set(METHODS)
    assert all(len(line) <= 78 for line in pruning().splitlines())
    assert "keeps n of every m" in " ".join(pruning().split())


def printed(result: PruneResult, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    print_result(result)
    out, err = capsys.readouterr()
    return out, err


def test_a_mask_is_printed_with_its_speed_and_without_empty_tables(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = printed(made.result_of(made.spec(), "run", parts={"notes": ["block 3 reached no input"]}), capsys)
    flat = " ".join(out.split())
    assert "removed 50 % of the weights of the decoder blocks' linears are zero, chosen by wanda." in flat
    assert "decoded tokens per second 211.4 210.9 0.998" in flat
    assert "decode speed-up 0.998 ± 0.006" in flat
    assert "decode speed-up, estimate 1.73" in flat
    assert "speed Zeros that stay in place bring no speed here" in flat
    assert "measured on corpus python-stdlib/held-out" in flat
    assert "rank correlation" not in flat
    assert "rules out" not in flat
    assert "note: block 3 reached no input" in err


def test_removed_blocks_are_printed_with_every_measure(capsys: pytest.CaptureFixture[str]) -> None:
    parts = {
        "linears": [],
        "blocks": made.blocks((5, 4)),
        "kept": [{"axis": "layers", "before": 10, "after": 8, "lost": ["one thing", "another"]}],
        "agreement": [{"measure": "block influence", "spearman": 0.31}],
    }
    out, _ = printed(made.result_of(made.spec(), "run", parts=parts), capsys)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "layers 10 8 one thing, another" in lines
    assert "5 0.070802 1.0708 0.15 0.15 1" in lines
    assert "4 0.089326 1.0893 0.21 0.14 2" in lines
    assert "block influence 0.31" in lines
