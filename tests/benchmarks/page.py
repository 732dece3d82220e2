"""`python -m tests.benchmarks.page` writes docs/benchmarks.md from the results: each figure, its target, what it means, and where it was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.benchmarks.meanings import BENCHMARKS, meaning
from tests.benchmarks.report import RESULTS

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
_HEAD = """# Benchmarks

Measured by `make bench` (`python -m tests.benchmarks NAME` for one); written from `tests/benchmarks/results` by `make docs`. A figure with a
target fails the benchmark when it misses it; the others are context. Comparisons with other programs ran on the same machine, in turns.
"""


def page(results: Path = RESULTS) -> str:
    """The page as Markdown.

    Raises:
        KeyError: a benchmark that `meanings.toml` does not describe.
    """
    documents = {file.stem: json.loads(file.read_text()) for file in results.glob("*.json")}
    if unknown := sorted(documents.keys() - BENCHMARKS.keys()):
        raise KeyError(f"say in tests/benchmarks/meanings.toml what these show: {', '.join(unknown)}")
    parts, area = [_HEAD, _overview(documents)], ""
    for name, about in BENCHMARKS.items():
        if name in documents:
            parts += [f"## {about.area}\n"] if about.area != area else []
            area = about.area
            parts.append(_section(name, documents[name]))
    return "\n".join(parts)


def _overview(documents: dict[str, dict[str, Any]]) -> str:
    bars = [bar["passed"] for document in documents.values() for bar in document["bars"].values()]
    return f"{len(documents)} benchmarks, {len(bars)} targets, {sum(bars)} met.\n"


def _section(name: str, document: dict[str, Any]) -> str:
    about, machine, figures, bars = BENCHMARKS[name], document["machine"], document["figures"], document["bars"]
    versions = ", ".join(f"{package} {version}" for package, version in document["versions"].items())
    lines = [f"### {about.title}", "", about.shows, ""]
    if bars:
        lines += ["| figure | value | target | met | means |", "|---|---|---|---|---|"]
        lines += [
            f"| `{key}` | {_shown(bar['figure'])} | {bar['bar']} | {'yes' if bar['passed'] else '**no**'} | {meaning(name, key)} |"
            for key, bar in bars.items()
        ]
    if others := {key: value for key, value in figures.items() if key not in bars}:
        lines += ["", f"<details><summary>{len(others)} more figures</summary>", "", "| figure | value | means |", "|---|---|---|"]
        lines += [f"| `{key}` | {_shown(value)} | {meaning(name, key)} |" for key, value in others.items()]
        lines += ["", "</details>"]
    lines += ["", f"`{name}`, {document['date'][:10]}: {machine['cpu']}, {machine['cores']} cores, {machine['architecture']}; {versions}.", ""]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return "; ".join(f"{key} {_shown(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_shown(inner) for inner in value)
    return str(value).replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
