"""A run as a file for others: nothing lost, nothing loaded, nothing executed."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.runs.export import FORMATS, export_run
from core.runs.export.svg import Point, bar_chart, line_chart, scatter_chart, ticks
from core.runs.state import store
from core.runs.state.events import EventWriter, Metric
from core.runs.state.files import write_json
from core.runs.state.store import Run
from tests.core.runs.tick import TickSpec

HOSTILE = "</script><img src=x onerror=alert(1)>\x1b[31m|`=cmd()"


@pytest.fixture
def run() -> Run:
    made = store.create(TickSpec(model=HOSTILE, device="cpu"))
    writer = EventWriter(made.events_file)
    for step in range(5):
        writer.write(Metric(1.0, "layer_error", 0.5 / (step + 1), step, f"{HOSTILE}.{step}"))
    writer.write(Metric(1.0, "ppl", float("nan"), 0, ""))
    writer.close()
    result = {
        "metrics": {"ppl_before": 8.25, "ppl_after": 8.5, "bytes_after": 4096},
        "evaluation": {"corpus": HOSTILE, "context": 512},
        "rows": [{"name": HOSTILE, "ppl": 8.0}, {"name": "b", "ppl": 9.0}],
    }
    write_json(made.path / "result.json", result)
    made.save_state(made.state.model_copy(update={"status": "done", "exit_reason": HOSTILE}))
    return made


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "rect", "circle", "line", "polyline"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag in {"rect", "circle"}:
            return
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_json_holds_everything(run: Run) -> None:
    document = json.loads(export_run(run, FORMATS["json"]))
    assert list(document)[:2] == ["schema", "llmopt_version"]
    assert document["spec"]["spec"]["model"] == HOSTILE
    assert document["result"]["metrics"]["ppl_after"] == 8.5
    assert [point["value"] for point in document["series"]["layer_error"]] == [0.5 / (step + 1) for step in range(5)]
    assert document["series"]["ppl"][0]["value"] is None


def test_csv_is_one_tidy_table_that_no_spreadsheet_executes(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(export_run(run, FORMATS["csv"]))))
    assert {row["kind"] for row in rows} == {"run", "setting", "result", "course"}
    assert [float(row["value"]) for row in rows if row["name"] == "layer_error"] == [0.5 / (step + 1) for step in range(5)]
    assert next(row["value"] for row in rows if (row["kind"], row["name"]) == ("result", "ppl_after")) == "8.5"
    assert not any(cell.startswith(("=", "+", "@")) or "\x1b" in cell for row in rows for cell in row.values())


def test_a_formula_in_a_name_stays_a_text() -> None:
    run = store.create(TickSpec(model="=HYPERLINK(1)"))
    rows = list(csv.DictReader(io.StringIO(export_run(run, FORMATS["csv"]))))
    assert next(row["value"] for row in rows if row["name"] == "model") == "'=HYPERLINK(1)"


def test_markdown_tables_keep_their_columns(run: Run) -> None:
    text = export_run(run, FORMATS["md"])
    assert "\x1b" not in text
    assert "<img" not in text
    for block in re.split(r"\n\n", text):
        if block.startswith("|"):
            widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(widths) == 1, block
    assert "| perplexity after | 8.5 |" in text


def test_the_page_needs_nothing_and_runs_nothing(run: Run) -> None:
    text = export_run(run, FORMATS["html"])
    page = Page(text)
    assert page.open == []
    assert not {"script", "img", "link", "iframe", "object", "a"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in {"src", "href", "xlink:href"}]
    assert "url(" not in text
    assert "@import" not in text
    assert "\x1b" not in text
    assert "</script><img src=x onerror=alert(1)>" in page.text
    assert "default-src 'none'" in text


def test_the_page_draws_the_course_of_each_figure(run: Run) -> None:
    text = export_run(run, FORMATS["html"])
    charts = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(charts) == 1
    chart = ElementTree.fromstring(charts[0])
    assert len(chart.findall("circle")) == 5
    heights = [float(circle.attrib["cy"]) for circle in chart.findall("circle")]
    assert heights == sorted(heights)


def test_the_page_draws_what_a_comparison_holds() -> None:
    run = store.create(TickSpec(model="x"))
    titles = ["INT8", "INT4 g128"]
    result = {
        "rows": [{"title": title, "ppl_ratio": 1.0 + index, "relative_error": 0.1, "bytes": 4096} for index, title in enumerate(titles)],
        "charts": {
            "histogram": {"linear": "q_proj", "edges": [0, 1, 2], "original": [5, 6], "dequantized": [7, 4], "dequantized_title": "INT4"},
            "scatter": {"linear": "q_proj", "original": [0.1, 0.2], "dequantized": [{"title": title, "values": [0.1, 0.3]} for title in titles]},
            "granularity": {"bits": 8, "linears": ["a", "b"], "channel": [0.1, 0.2], "tensor": [0.3, 0.4]},
            "memory": [{"title": title, "codes": 1024, "scales": 256, "kept": 512} for title in titles],
            "unknown": [1],
        },
    }
    write_json(run.path / "result.json", result)
    text = export_run(run, FORMATS["html"])
    charts = [ElementTree.fromstring(chart) for chart in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]
    assert len(charts) == 7
    stacked = next(chart for chart in charts if len(chart.findall("rect")) == 6)
    heights = [float(part.attrib["height"]) for part in stacked.findall("rect")]
    assert heights[0] == pytest.approx(4 * heights[1], abs=0.2)
    assert heights[2] == pytest.approx(2 * heights[1], abs=0.2)
    write_json(run.path / "result.json", {"rows": [{}, {}], "charts": {"histogram": {"edges": "x"}, "memory": {}, "scatter": None}})
    assert "<svg" not in export_run(run, FORMATS["html"])


def test_a_run_with_nothing_in_it_can_be_exported_to_every_format() -> None:
    run = store.create(TickSpec(model="x"))
    for exporter in FORMATS.values():
        assert export_run(run, exporter).endswith("\n")


FINITE = st.floats(-1e12, 1e12)


@given(FINITE, FINITE)
def test_ticks_are_round_and_enclose_the_range(first: float, second: float) -> None:
    low, high = sorted((first, second))
    found = ticks(low, high)
    assert 2 <= len(found) <= 12
    assert found == sorted(set(found))
    margin = 1e-6 * max(found[-1] - found[0], 1e-300)
    assert found[0] <= low + margin
    assert found[-1] >= high - margin


@given(st.lists(st.tuples(FINITE, FINITE), max_size=20), st.text(max_size=20))
def test_every_chart_is_well_formed_and_stays_inside_its_frame(pairs: list[tuple[float, float]], name: str) -> None:
    from core.sanitize import clean

    label = clean(name)
    points = [Point(x, y, label) for x, y in pairs]
    made = [
        line_chart([(label, points)], x="x", y=label),
        scatter_chart([(label, points)], x="x", y="y"),
        bar_chart([(label, y) for _, y in pairs], y="y"),
    ]
    for text in made:
        chart = ElementTree.fromstring(re.sub("[\ufffe\uffff]", "", text))
        for circle in chart.iter("circle"):
            assert -1 <= float(circle.attrib["cx"]) <= 761
            assert -1 <= float(circle.attrib["cy"]) <= 301
