from __future__ import annotations

from pathlib import Path

import pytest

from core.runs.state import store
from tests.tui.cli.conftest import Llmopt, process
from tests.tui.kvcache.made import refused, schemes
from tui.cli.options import build_spec, command_line
from tui.cli.printing.results import print_result


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("kv-cache", "MODEL", "--schemes", "kivi-9"), "unknown cache scheme 'kivi-9'"),
        (("kv-cache", "MODEL", "--schemes", "\x1b[31mred"), "choose dynamic"),
        (("kv-cache", "MODEL", "--context", "4096"), "4096 tokens exceed the 128 positions"),
        (("kv-cache", "MODEL", "--prompt", "128", "--steps", "4"), "leaves nothing to score"),
        (("kv-cache", "MODEL", "--batch", "4096", "--windows", "65536", "--context", "128", "--needle-depths", "ten"), "whole numbers"),
        (("kv-cache", "MODEL", "--heads", "gqa-3", "--steps", "8"), "does not divide the model's 4 query heads"),
        (("kv-cache", "MODEL", "--schemes", "offload", "--steps", "8", "--device", "cpu"), "no GPU is in use"),
        (("kv-cache", "MODEL", "--text", "/no/such/text"), "/no/such/text"),
        (("kv-cache-why", "MODEL", "--lengths", "10,5,20"), "ascending"),
        (("kv-cache-why", "MODEL", "--lengths", "10,20,500"), "500 tokens exceed the 128 positions"),
        (("kv-cache-why", "MODEL", "--lengths", "a,b"), "whole numbers"),
    ],
)
def test_what_cannot_be_done_is_said_before_a_run_begins(llmopt: Llmopt, model_dir: Path, arguments: tuple[str, ...], words: str) -> None:
    answer = llmopt(*(str(model_dir) if word == "MODEL" else word for word in arguments))
    assert answer.code == 2
    assert words in answer.err
    assert answer.err.count("\n") == 1
    assert "\x1b" not in answer.err
    assert store.list_runs() == []


def test_a_batch_that_does_not_fit_is_foretold(llmopt: Llmopt, model_dir: Path) -> None:
    most = ("--batch", "4096", "--windows", "65536", "--dtype", "float32", "--device", "cpu", "--steps", "8", "--heads", "mha")
    from unittest.mock import patch

    with patch("psutil.virtual_memory") as memory:
        memory.return_value.available = 2**28
        answer = llmopt("kv-cache", str(model_dir), *most)
    assert answer.code == 2
    assert "4096 windows of 128 tokens take about" in answer.err
    assert "256.0 MiB of memory are free" in answer.err


def test_names_with_commas_become_a_tuple_and_a_command_again(llmopt: Llmopt, model_dir: Path) -> None:
    from core.kvcache.spec import KvCacheSpec

    spec = build_spec(KvCacheSpec, "m", {"schemes": ("kivi-4", "h2o"), "heads": ("mqa",)}, None)
    line = command_line("kv-cache", spec.model_dump())
    assert line == "llmopt kv-cache m --schemes kivi-4,h2o --heads mqa"
    help_text = " ".join(llmopt("kv-cache", "--help").out.split())
    assert "NAME,..." in help_text
    assert "INT,..." in help_text
    assert "dynamic,static,paged" in help_text.replace(" ", "").replace("│", "")


def test_the_table_is_printed_and_what_is_missing_stays_missing(capsys: pytest.CaptureFixture[str]) -> None:
    result = schemes()
    row, without = result.rows[0].model_copy(update={"bytes_held": 1048576, "top1_agreement": 0.5}), refused(result.rows[-1])
    print_result(result.model_copy(update={"rows": (row, without)}))
    out = capsys.readouterr().out
    assert "1.0 MiB" in out
    assert "50.00 %" in out
    assert "—" in next(line for line in out.splitlines() if line.split()[:1] == [without.name])
    assert "{" not in out


def test_nothing_heavy_is_imported_to_refuse(model_dir: Path) -> None:
    for arguments in (("kv-cache", str(model_dir), "--schemes", "no"), ("kv-cache-why", "--help")):
        _, err = process(*arguments).communicate()
        assert err.splitlines()[-1] == "heavy modules: []"
