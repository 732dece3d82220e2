"""Sentences for what a server or the way to it refuses, the same for the load and for single questions."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

from core.benchmark.client.documents import read_json

_TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_PAGE = re.compile(r"\s*<(!doctype|html|head|body)\b", re.IGNORECASE)
_ERRORS = ("error", "errors", "exception")
"""Keys that hold an error wherever they hold anything."""
_MESSAGES = ("message", "detail", "details", "error_message", "error_msg", "status_msg", "msg", "reason", "title", "text")
_CODES = ("error_code", "code", "status", "status_code", "error_type", "type")
_NAMED = 3
_TAILS = ("/v1/models", "/models", "/v1/chat/completions", "/chat/completions", "/v1/completions", "/completions")


def reason_in(body: str) -> str:
    """What the body of an error says in words: the message of a JSON object, the text of a web page, else all of it. Not made safe."""
    try:
        found: Any = read_json(body)
    except (ValueError, RecursionError):
        return "a web page: " + " ".join(_TAG.sub(" ", body).split()) if _PAGE.match(body) else body.strip()
    return _message(found) or body.strip()


def redirected(asked: str, status: int, location: str) -> str:
    """Where a request was sent on to, and what to do: a redirect is not followed, as a key is not carried to wherever a server points."""
    target = urljoin(asked, location)
    if not location or target == asked:
        return f"{asked} answers with a redirect that names no other address (HTTP {status}): check the address"
    tail = next((tail for tail in _TAILS if asked.endswith(tail) and target.endswith(tail)), "")
    hint = f"give {target.removesuffix(tail)} as the address" if tail else "give the address of a server that answers without a redirect"
    return f"{asked} redirects to {target} (HTTP {status}): {hint}"


def of_tls(url: str, error: ssl.SSLError) -> str:
    """Why no TLS connection came about, and how to go on."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = (error.verify_message or "").strip()
        return f"the certificate of {url} is not trusted{f' ({why})' if why else ''}: give --insecure to accept it"
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"):
        return f"{url} does not speak TLS: write http:// instead of https://"
    return f"no TLS connection to {url}: {(error.reason or str(error)).replace('_', ' ').lower()}"


def error_in(message: Mapping[str, Any], *, anywhere: bool = False) -> str:
    """What a JSON object says went wrong; "" when it reports no error. Not made safe.

    Args:
        message: the object.
        anywhere: it holds no part of an answer, so that a bare `message`, `detail` or `error_code` reports an error too.
    """
    for name in _ERRORS:
        if value := message.get(name):
            return _message(value) or json.dumps(value)
    state = message.get("base_resp")
    if isinstance(state, dict) and state.get("status_code"):
        return _message(state) or json.dumps(state)
    if message.get("object") == "error" or message.get("type") == "error" or message.get("error_code"):
        return _message(message) or json.dumps(message)
    return next((words for name in _MESSAGES[:-2] if (words := _message(message.get(name)))), "") if anywhere else ""


def _message(found: Any) -> str:
    if isinstance(found, str):
        return found.strip()
    if isinstance(found, list):
        return "; ".join(filter(None, map(_message, found[:_NAMED])))
    if not isinstance(found, dict):
        return ""
    words = next((words for name in (*_ERRORS, *_MESSAGES) if (words := _message(found.get(name)))), "")
    field = _field(found)
    if field and field not in words:
        return f"{field}: {words}" if words else field
    return words or next((f"{name} {found[name]}" for name in _CODES if found.get(name)), "")


def _field(found: Mapping[str, Any]) -> str:
    """Which field of the request is meant: OpenAI's `param`, or pydantic's `loc`."""
    place = found.get("loc") or found.get("param")
    if isinstance(place, list):
        return ".".join(str(part) for part in place if part != "body")
    return place if isinstance(place, str) else ""
