from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from tui.widgets.chart import picture
from tui.widgets.chart.chart import Chart, Plot, Series

RISING = Plot("line", (Series.of(range(9)),), title="Rising")
BARS = Plot("bar", (Series.of([2, 1]),), categories=("bf16", "int8"), title="Bars")


class OneChart(App[None]):
    def __init__(self, plot: Plot | None) -> None:
        super().__init__()
        self.first = plot

    def compose(self) -> ComposeResult:
        yield Chart(self.first)


async def settle(pilot) -> None:
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def test_a_chart_is_drawn_when_shown_and_again_when_its_plot_changes():
    app = OneChart(RISING)
    async with app.run_test(size=(50, 12)) as pilot:
        await settle(pilot)
        chart = app.query_one(Chart)
        assert chart.plain.startswith("Rising")
        chart.set_plot(BARS)
        await settle(pilot)
        assert chart.plain.startswith("Bars")
        chart.set_plot(None)
        assert chart.plain == ""


async def test_a_resize_draws_to_the_new_size():
    app = OneChart(RISING)
    async with app.run_test(size=(50, 12)) as pilot:
        await settle(pilot)
        await pilot.resize_terminal(70, 16)
        await settle(pilot)
        lines = app.query_one(Chart).plain.split("\n")
        assert len(lines) == 16
        assert max(map(len, lines)) > 60


async def test_a_chart_out_of_sight_draws_nothing(monkeypatch):
    drawn = []
    monkeypatch.setattr("tui.widgets.chart.chart.draw", lambda *request: drawn.append(request) or picture.draw(*request))

    class Below(App[None]):
        def compose(self) -> ComposeResult:
            with VerticalScroll():
                yield Static("\n" * 60)
                chart = Chart(RISING)
                chart.styles.height = 10
                yield chart

    app = Below()
    async with app.run_test(size=(50, 12)) as pilot:
        await settle(pilot)
        chart = app.query_one(Chart)
        chart.set_plot(BARS)
        await settle(pilot)
        assert drawn == []
        app.query_one(VerticalScroll).scroll_end(animate=False)
        await settle(pilot)
        assert [plot for plot, *_ in drawn] == [BARS]
        assert chart.plain.startswith("Bars")


async def test_the_same_plot_is_drawn_once_and_repaints_nothing(monkeypatch):
    drawn = []
    monkeypatch.setattr("tui.widgets.chart.chart.draw", lambda *request: drawn.append(request) or picture.draw(*request))
    app = OneChart(RISING)
    async with app.run_test(size=(50, 12)) as pilot:
        await settle(pilot)
        refreshed = []
        chart = app.query_one(Chart)
        monkeypatch.setattr(chart, "refresh", lambda *regions, **_: refreshed.append(regions))
        chart.set_plot(Plot("line", (Series.of(range(9)),), title="Rising"))
        await settle(pilot)
        assert len(drawn) == 1
        assert not refreshed


async def test_only_changed_lines_are_repainted(monkeypatch):
    app = OneChart(Plot("bar", (Series.of([4, 2, 1]),), categories=("a", "b", "c")))
    async with app.run_test(size=(50, 12)) as pilot:
        await settle(pilot)
        chart = app.query_one(Chart)
        regions = []
        refresh = chart.refresh
        monkeypatch.setattr(chart, "refresh", lambda *changed, **options: regions.extend(changed) or refresh(*changed, **options))
        chart.set_plot(Plot("bar", (Series.of([4, 3, 1]),), categories=("a", "b", "c")))
        await settle(pilot)
        assert [region.y for region in regions if region.width > 1] == [1]


async def test_a_drawing_that_breaks_leaves_a_sentence_not_an_exception(monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("kernel")

    monkeypatch.setattr("tui.widgets.chart.canvas.canvas", broken)
    picture.draw.cache_clear()
    app = OneChart(Plot("line", (Series.of([1, 2]),), title="Broken"))
    async with app.run_test(size=(50, 12)) as pilot:
        await settle(pilot)
        assert "could not be drawn (RuntimeError)" in app.query_one(Chart).plain
    picture.draw.cache_clear()
