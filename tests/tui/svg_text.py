"""The words of a picture of a screen, so that a test's report can say what differs."""

from __future__ import annotations

import difflib
import html
import re

_TEXT = re.compile(r'<text class="(?P<style>[^"]*)" x="(?P<x>[\d.]+)" y="(?P<y>[\d.]+)"[^>]*>(?P<text>[^<]*)</text>')


def lines(svg: str) -> list[str]:
    """What is in each line of the screen, from left to right."""
    rows: dict[float, list[tuple[float, str]]] = {}
    for found in _TEXT.finditer(svg):
        rows.setdefault(float(found["y"]), []).append((float(found["x"]), html.unescape(found["text"]).strip("\n")))
    return ["|".join(text for _, text in sorted(row) if text).replace("\xa0", " ") for _, row in sorted(rows.items())]


def difference(expected: str, actual: str) -> str:
    """The lines that differ; where no word does, that colours do."""
    found = list(difflib.unified_diff(lines(expected), lines(actual), "expected", "actual", lineterm="", n=0))
    return "\n".join(found) or "the words are the same: colours or places differ"
