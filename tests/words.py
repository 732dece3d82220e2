"""Idioms that we no longer write: `python -m tests.words` fails when a change brings one in.

Looks at strings, docstrings and comments of core, engines and tui, at the pages in Markdown, and at what docs/ is made from. How many of each are
left from earlier is kept in `words.json`, a ratchet: more than that fails, fewer are written down at once.

    python -m tests.words           check
    python -m tests.words told      list every place of the idioms whose name contains a text
"""

from __future__ import annotations

import io
import json
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEFT = Path(__file__).with_suffix(".json")
PER = r"an? (?:second|minute|hour|token|weight|step|round|request|run|sequence|head|block|GPU|dollar|byte)"

IDIOMS: dict[str, tuple[str, str]] = {
    "told, tells": (r"\b(?:told|tells)\b", "says, reports, shows, returns"),
    "stands": (r"\bstands\b", "is, appears, is listed"),
    "beside": (r"\bbeside\b", "next to, alongside, compared with"),
    "goes on": (r"\b(?:goes?|going|went) on\b(?! (?:a|an|the|to)\b)", "continues, resumes"),
    "the person": (r"\b(?:the|a) person\b", "the user"),
    "a token, a second": (rf"\b(?:tokens|bytes|bits|requests|steps|operations|times|words|ms|once|twice) {PER}\b", "per token, per second"),
    "is had, is at hand": (r"\b(?:is had|(?:is|are) at hand)\b", "is available, exists"),
    "its begin": (r"\bits begin\b", "its start"),
    "foretell": (r"\bforet(?:ells?|elling|old)\b", "predict"),
    "put a load on": (r"\b[Pp]uts? (?:a|the same) load on\b", "load-test"),
    "what it brings": (r"\bwhat (?:it|that|speculation) (?:brings?|cost|would bring)\b", "the speed-up, the quality loss"),
    "although not trusted": (r"\balthough [^.\"]* not trusted\b", "accept an untrusted …"),
    "reckoned": (r"\breckon(?:s|ed|ing)?\b", "computed, not measured (labelled *estimate*)"),
    "is no target": (r"(?<![Tt]here )\bis no (?!longer\b|more\b|less\b|\w+ than\b)\w+", "must be …, got …; is not a valid …"),
    "no torch": (r"\b[Nn]o torch\b|\bfree of torch\b|\bso that a screen can\b", "nothing: an import contract holds it"),
}


_FORMATTED, _FIELDS = re.compile(r"[rR]?[fF]"), re.compile(r"\{[^{}\n]*\}")
"""The start of a formatted string, and what it holds of code."""


def sources() -> list[Path]:
    """The files whose words count."""
    code = (path for room in ("core", "engines", "tui") for suffix in ("py", "md") for path in (ROOT / room).rglob(f"*.{suffix}"))
    return sorted([*code, *ROOT.glob("*.md"), *ROOT.glob("tests/benchmarks/*.toml")])


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """The text of a file that somebody reads, each piece with its first line: all of a page, strings and comments of code."""
    text = path.read_text()
    if path.suffix != ".py":
        yield 1, text
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT) or tokenize.tok_name[token.type] == "FSTRING_MIDDLE":
            yield token.start[0], _FIELDS.sub("{}", token.string) if _FORMATTED.match(token.string) else token.string


def places(text: str) -> Iterator[tuple[str, int, str]]:
    """Idioms in a text: name, lines after the first, the words as they are there."""
    for name, (pattern, _) in IDIOMS.items():
        for found in re.finditer(pattern, text):
            yield name, text.count("\n", 0, found.start()), found.group()


def all_places() -> Iterator[tuple[str, str]]:
    """Every idiom in the project: its name, and `file:line: words`."""
    for path in sources():
        for line, text in prose(path):
            for name, below, words in places(text):
                yield name, f"{path.relative_to(ROOT).as_posix()}:{line + below}: {words}"


def main(asked: list[str]) -> int:
    """List places, or compare their number with what is left from earlier."""
    found = list(all_places())
    if asked:
        print("\n".join(place for name, place in found if any(word in name for word in asked)))
        return 0
    counted, left = Counter(name for name, _ in found), json.loads(LEFT.read_text())
    more = {name: count for name, count in counted.items() if count > left.get(name, 0)}
    for name, count in more.items():
        print(
            f"'{name}' {count} times, {left.get(name, 0)} are left from earlier: write {IDIOMS[name][1]}; `python -m tests.words '{name}'` lists them"
        )
    fewer = {name: min(counted[name], before) for name, before in left.items()}
    if fewer != left:
        LEFT.write_text(json.dumps({name: count for name, count in fewer.items() if count}, indent=2) + "\n")
        print(f"{LEFT.name}: fewer are left, written down")
    return 1 if more else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
