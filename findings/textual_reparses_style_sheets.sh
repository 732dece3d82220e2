#!/usr/bin/env bash
# textual 8.2.8: beyond 64 widget classes with CSS of their own, mounting one more class parses every style sheet again.
#
# Expected: a style sheet that was parsed once is not parsed again, so that mounting a widget of a new class parses one.
# Seen: with 40 classes mounted, one more class parses 1 style sheet; with 80, it parses 81 and more. `Stylesheet` keeps the parsed rules in a
# least-recently-used cache of 64 entries and reads all sources in their order whenever one is added: past 64 each entry is gone before its turn.
# Applications of many screens pay with each new kind of widget. A larger cache on the application's stylesheet mends it.
#
# Output seen:
#   40 classes mounted, one more: 1 parsed
#   80 classes mounted, one more: all parsed again
#   80 classes mounted and a cache of 1024, one more: 1 parsed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check textual==8.2.8
cat > "$folder/count.py" <<'PYTHON'
import asyncio

import textual.css.stylesheet as stylesheet
from textual.app import App
from textual.cache import LRUCache
from textual.widget import Widget

parsed = 0
original = stylesheet.parse


def counted(*arguments, **options):
    global parsed
    parsed += 1
    return original(*arguments, **options)


stylesheet.parse = counted


def kind(number):
    return type(f"Kind{number}", (Widget,), {"DEFAULT_CSS": f"Kind{number} {{ height: 1; }}"})


async def one_more(classes, cache=None):
    global parsed
    app = App()
    if cache is not None:
        app.stylesheet._parse_cache = LRUCache(cache)
    async with app.run_test() as pilot:
        await app.mount_all(kind(number)() for number in range(classes))
        await pilot.pause()
        parsed = 0
        await app.mount(kind(classes)())
        await pilot.pause()
        return parsed


few, many, mended = (asyncio.run(one_more(*case)) for case in ((40,), (80,), (80, 1024)))
print(f"40 classes mounted, one more: {few} parsed")
print(f"80 classes mounted, one more: {'all parsed again' if many >= 80 else many}")
print(f"80 classes mounted and a cache of 1024, one more: {mended} parsed")
raise SystemExit(0 if few == 1 and many >= 80 and mended == 1 else 1)
PYTHON
"$folder/env/bin/python" "$folder/count.py"
