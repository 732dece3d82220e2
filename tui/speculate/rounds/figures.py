"""The figures above the text of a live run. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from core.sanitize import clean
from tui.speculate.names import setting
from tui.speculate.rounds.progress import SpeculateProgress, Tally
from tui.widgets import words
from tui.widgets.chart.strip import history
from tui.widgets.live import Line, Run, clip

SPEED, PLAIN, GAIN, PREDICTED, ALPHA = "tokens_per_second", "baseline_tokens_per_second", "speedup", "predicted_speedup", "alpha"
"""Metrics of a run, reported when a setting is done, with the setting as their label."""
VARIATION, BOUND = "total_variation", "total_variation_bound"
"""Metrics of a test, with the comparison as their label."""
_POSITIONS, _COURSE = 8, 40


LINES = 4
"""Of `figures`."""


def figures(progress: SpeculateProgress, width: int) -> list[Line]:
    """Setting, acceptance so far, its course, speeds: always as many lines, so that nothing below them moves."""
    tally = progress.tally
    if tally is None or progress.setting is None:
        return [()] * LINES
    drafter, gamma, temperature = progress.setting
    text = f"text {progress.begin.prompt + 1}, " if progress.begin is not None else ""
    lines: list[Line] = [
        ((setting(drafter, gamma, temperature), "strong"), (f"  {text}{words.count(tally.rounds)} rounds so far", "muted")),
        _acceptance(tally),
        _course(progress.recent, tally, width),
        _speed(progress, tally),
    ]
    return [clip(line, width) for line in lines]


def _acceptance(tally: Tally) -> Line:
    return (
        ("accepted ", "muted"),
        (words.percent(tally.acceptance, 1), "good"),
        (f" of {words.count(tally.judged)} judged drafts, ", "muted"),
        (words.figure(tally.tokens_per_round, 3), "strong"),
        (" tokens per round", "muted"),
    )


def _course(recent: Sequence[float | None], tally: Tally, width: int) -> Line:
    shares = " ".join(f"{100 * share:.0f}" for share in tally.positions[:_POSITIONS])
    positions = f"by position {shares} %  " if shares else ""
    room = min(width - len(positions) - len("course "), _COURSE, -(-len(recent) // 2))
    return ((positions, "muted"), ("course ", "muted"), (history(recent, room), "bar")) if room > 0 else ((positions, "muted"),)


def _speed(progress: SpeculateProgress, tally: Tally) -> Line:
    speed = tally.tokens_per_second
    plain = _plain(progress) if progress.setting is not None else None
    line: list[Run] = [(f"{words.figure(speed, 3)} tokens/s", "strong")] if speed else []
    if speed and plain:
        gain = speed / plain
        line += [(f", plain decoding {words.figure(plain, 3)}: ", "muted"), (f"{gain:.2f} times as fast", "good" if gain >= 1 else "bad")]
    return tuple(line)


def _plain(progress: SpeculateProgress) -> float | None:
    """Tokens per second of plain decoding in the newest setting of the same temperature; another one takes another time."""
    assert progress.setting is not None
    ending = f"temperature {progress.setting[2]:g}"
    found = [steps for label, steps in progress.curves.get(PLAIN, {}).items() if label.endswith(ending)]
    values = [value for steps in found for value in steps.values() if value is not None]
    return values[-1] if values else None


def finished(progress: SpeculateProgress, most: int, width: int) -> list[Line]:
    """The last settings that are done, or the last comparisons of a test, one a line."""
    lines = [_finished(progress, label) for label in progress.curves.get(GAIN, {})] or [
        _compared(progress, label) for label in progress.curves.get(VARIATION, {})
    ]
    return [clip(line, width) for line in lines[-most:]] if most > 0 else []


def _finished(progress: SpeculateProgress, label: str) -> Line:
    gain, predicted, alpha, speed, plain = (_of(progress, name, label) for name in (GAIN, PREDICTED, ALPHA, SPEED, PLAIN))
    slower = gain is not None and gain < 1
    named = clean(label, limit=40).replace("gamma", "γ").replace("temperature", "T")
    return (
        (f"{named:<12}", "muted"),
        (f"{_times(gain):>5}{'↓' if slower else 'x'}", "bad" if slower else "good"),
        (f"  predicted {_times(predicted)}x  α {words.percent(alpha, 0)}", "muted"),
        (f"  {words.figure(speed, 3)} tokens/s, plain {words.figure(plain, 3)}", "muted"),
    )


def _times(gain: float | None) -> str:
    return words.NOTHING if gain is None else f"{gain:.2f}"


def _compared(progress: SpeculateProgress, label: str) -> Line:
    found, bound = _of(progress, VARIATION, label), _of(progress, BOUND, label)
    within = found is not None and bound is not None and found <= bound
    return (
        (f"{clean(label, limit=28):<28}", "muted"),
        (f"{'✓' if within else '✗'} total variation {words.figure(found, 3)}", "good" if within else "bad"),
        (f", bound {words.figure(bound, 3)}", "muted"),
    )


def _of(progress: SpeculateProgress, name: str, label: str) -> float | None:
    values = list(progress.curves.get(name, {}).get(label, {}).values())
    return values[-1] if values else None
