"""Any leaf of any file of a run, replaced by any JSON value: the run is listed, shown, compared and exported as far as it can be read."""

from __future__ import annotations

import contextlib
import io
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.quantize.compare.spec import QuantizeCompareSpec
from core.runs.state.store import Run
from tests.tui.benchmark import made as benchmark
from tests.tui.kvcache import made as kvcache
from tests.tui.quantize import made as quantize
from tests.tui.speculate import made as speculate
from tui.cli import main

VALUES: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1.5, 10**400, 2**63, -(2**70), 1e308, 1e-320),
    *("", "x", "nan", "\x1b[31m\u202e\0[/b]", "\ud800", "a" * 5000, "/" + "a" * 300, "../../x"),
    *([], [1], [None], [[]], ["x", 1, {}], {}, {"a": 1}, {"": None}, {"a": {"b": [1]}}),
)
FORMATS = ("json", "csv", "md", "html", "samples")
TRIES = 6


def _quantized(run_id: str = "20260101-100000-quantize-0a01") -> Run:
    return quantize.finish(quantize.run_of(quantize.spec(), run_id, "done"))


def _compared() -> Run:
    return quantize.compared(quantize.run_of(QuantizeCompareSpec(model="bundled:base"), "20260101-100100-quantize-compare-0a02", "done"))


MAKERS: dict[str, Callable[[], object]] = {
    "quantize": _quantized,
    "quantize-compare": _compared,
    "benchmark": lambda: benchmark.done("runtime"),
    "benchmark-sweep": lambda: benchmark.done("sweep"),
    "benchmark-compare": benchmark.comparison,
    "benchmark-machine": benchmark.machine,
    "kv-cache": kvcache.schemes_done,
    "kv-cache-why": kvcache.why_done,
    "kv-cache-pages": kvcache.pages_done,
    "speculate": speculate.pair,
    "speculate-test": speculate.losslessness,
}


def leaves(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    inner = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    for key, value in inner:
        yield from leaves(value, (*place, key))


def replaced(document: Any, place: tuple[Any, ...], value: object) -> Any:
    if not place:
        return value
    copy = list(document) if isinstance(document, list) else dict(document)
    copy[place[0]] = replaced(copy[place[0]], place[1:], value)
    return copy


def drawn(document: Any, draw: random.Random) -> tuple[Any, ...]:
    """A place; of lists of equal entries all count as one, so that those of a rare kind are drawn as often."""
    kinds: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for place in leaves(document):
        kinds.setdefault(tuple("#" if isinstance(key, int) else key for key in place), []).append(place)
    return draw.choice(kinds[draw.choice(list(kinds))])


def said(*arguments: str) -> tuple[int, str]:
    """Exit code and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments))
    return code, err.getvalue()


def check_everything(run: Run, other: Run, what: str) -> None:
    commands = [
        ("list",),
        ("show", run.id),
        ("show", run.id, "--json", "--log"),
        ("compare", run.id, other.id),
        ("compare", other.id, run.id, "--json"),
    ]
    commands += [("export", run.id, "--to", name) for name in FORMATS]
    for command in (*(("runs", *command) for command in commands), ("pareto", "bundled:base")):
        code, err = said(*command)
        assert code in (0, 1, 2), (what, command, err)
        assert "--debug" not in err, (what, command, err)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("file", ["state.json", "result.json", "spec.json"])
def test_a_wrong_value_anywhere_raises_nothing(name: str, file: str) -> None:
    run, other = MAKERS[name](), _quantized("20260101-090000-quantize-0b01")
    assert isinstance(run, Run)
    draw = random.Random(f"{name} {file}")
    document = json.loads((run.path / file).read_text())
    for _ in range(TRIES):
        place, value = drawn(document, draw), draw.choice(VALUES)
        (run.path / file).write_text(json.dumps(replaced(document, place, value)))
        check_everything(run, other, f"{file} {place} = {str(value)[:40]!r}")


@pytest.mark.parametrize("name", ["benchmark", "kv-cache-pages"])
def test_wrong_events_raise_nothing(name: str) -> None:
    run, other, draw = MAKERS[name](), _quantized("20260101-090000-quantize-0b01"), random.Random(name)
    assert isinstance(run, Run)
    lines = run.events_file.read_text().splitlines()
    for _ in range(TRIES):
        wrong = [json.dumps(replaced(event := json.loads(line), drawn(event, draw), draw.choice(VALUES))) for line in lines]
        junk = draw.choice(["", "{", "[" * 10_000, "null", "\0" * 100, '{"t": 1}', "x" * 100_000])
        run.events_file.write_text("\n".join([*wrong, junk, lines[-1]]) + "\n")
        assert isinstance(run.events, list)
        check_everything(run, other, "events")


def test_the_request_of_a_comparison_without_a_model_raises_nothing() -> None:
    run = _compared()
    (run.path / "spec.json").write_text('{"spec": {"model": ""}}')
    check_everything(run, _quantized(), "no model")
    assert said("pareto", "")[0] == 0
