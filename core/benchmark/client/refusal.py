"""Sentences for what a server or the way to it refuses, the same for the load and for single questions."""

from __future__ import annotations

import json
import re
import ssl
from typing import Any

_TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_PAGE = re.compile(r"\s*<(!doctype|html|head|body)\b", re.IGNORECASE)
_MESSAGES = ("message", "detail", "error", "error_message")


def reason_in(body: str) -> str:
    """What the body of an error says in words: the message of a JSON object, the text of a web page, else all of it. Not made safe."""
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        return "a web page: " + " ".join(_TAG.sub(" ", body).split()) if _PAGE.match(body) else body.strip()
    return _message(found) or body.strip()


def of_tls(url: str, error: ssl.SSLError) -> str:
    """Why no TLS connection came about, and how to go on."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = (error.verify_message or "").strip()
        return f"the certificate of {url} is not trusted{f' ({why})' if why else ''}: give --insecure to accept it"
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"):
        return f"{url} does not speak TLS: write http:// instead of https://"
    return f"no TLS connection to {url}: {(error.reason or str(error)).replace('_', ' ').lower()}"


def _message(found: Any) -> str:
    if isinstance(found, str):
        return found.strip()
    if isinstance(found, list):
        return _message(found[0]) if found else ""
    if not isinstance(found, dict):
        return ""
    return next((words for name in ("error", *_MESSAGES, "msg") if (words := _message(found.get(name)))), "")
