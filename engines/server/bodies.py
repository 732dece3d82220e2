"""Bodies of requests, read within bounds. Meant for a thread: a body of megabytes must not hold up the loop that answers other clients."""

from __future__ import annotations

import json
from typing import Any

from core.errors import RequestError
from core.sanitize import clean

_SPARE = 256 << 10
_TOKEN = 24
_LARGEST = 32 << 20
_PART = 4096
LARGE = 64 << 10
"""From so many bytes on the memory of a body and its tokens is given back to the system."""


def most_bytes(context: int) -> int:
    """The largest body that is read: what a context of so many tokens can hold, escaped, and some for the rest."""
    return min(_SPARE + context * _TOKEN, _LARGEST)


def parsed(data: bytes) -> Any:
    """The JSON of a body. Raises RequestError: it is none, or holds text that no encoding has."""
    try:
        # json.loads of bytes would let halves of characters through.
        text = data.decode(json.detect_encoding(data))
        found = json.loads(text.removeprefix("\ufeff"))
        if "\\ud" in text or "\\uD" in text:
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise RequestError(f"the body is not JSON in UTF-8: byte {error.start} is none of a character") from error
    except UnicodeEncodeError as error:
        raise RequestError("the body has a lone surrogate, half of a character: send the text as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {clean(str(error), limit=120)}") from error
    return found


def token_list(tokens: list[int]) -> bytes:
    """The answer of `/tokenize`, written in parts, between which other threads have their turn."""
    parts = [",".join(map(str, tokens[first : first + _PART])) for first in range(0, len(tokens), _PART)]
    return f'{{"tokens": [{",".join(parts)}], "count": {len(tokens)}}}'.encode()
