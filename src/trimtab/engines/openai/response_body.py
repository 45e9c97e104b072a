"""Reads the body of a response up to a size limit, and finds any error that it reports, regardless of the HTTP status."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2
import openai

# Largest body that is read. The echoed log-probabilities of a prompt of 100,000 tokens have about 10 MB.
MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_EXCERPT = 200
# Fields of an error that contain its code, and HTTP statuses by codes that are names.
_CODE_FIELDS = ("code", "status", "status_code", "type")
_STATUS_BY_NAME = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "overloaded_error": 503,
    "service_unavailable": 503,
    "server_error": 500,
    "internal_server_error": 500,
    "api_error": 500,
    "timeout": 408,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "invalid_request_error": 400,
}
_ERROR_STATUSES = range(400, 600)


class BodyError(openai.OpenAIError):
    """A body that is not read: it is too large or compressed. The openai package does not retry its own errors."""


class _BoundedStream(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self._stream:
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise BodyError(f"the response is larger than {MAX_BODY_BYTES // 1024**2} MiB")
            yield chunk

    def close(self) -> None:
        self._stream.close()


def read_body(response: httpx2.Response) -> None:
    """Reads the body and, if it reports an error, gives the response the status of that error.

    Some servers return an error of the model or provider behind them with status 200. With its own status it is retried,
    waited for or fatal like any other. Raises `BodyError`.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        # A small compressed body may expand to any size.
        raise BodyError(f"the response is compressed ({encoding[:40]}), which its request does not allow")
    if isinstance(response.stream, httpx2.SyncByteStream):
        response.stream = _BoundedStream(response.stream)
    response.encoding = "utf-8"  # the only one of JSON; the declared one may be no text encoding
    response.read()
    if response.status_code == httpx2.codes.OK and b'"error"' in response.content:
        body = decode_json(response.content)
        response.status_code = _find_error_status(body) or response.status_code


def decode_json(content: bytes) -> dict[str, Any] | str:
    """The JSON object, or the reason why there is none. All texts of the object can be written as UTF-8."""
    excerpt = content[:MAX_EXCERPT].decode("utf-8", "replace")
    try:
        body = json.loads(content.decode("utf-8-sig"))
        if not isinstance(body, dict):
            return f"expected a JSON object, got {excerpt}"
        if b"\\ud" in content.lower():
            json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "the response contains half of a character (a lone surrogate)"
    except ValueError as error:
        return f"malformed JSON ({error}): {excerpt}"
    except RecursionError:
        return "the response is nested too deeply"
    return body


def find_reported_error(body: Mapping[str, Any]) -> object:
    """The error that the body or its first choice reports; None if there is none."""
    if body.get("error"):
        return body["error"]
    if body.get("object") == "error":
        return body
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return (first.get("error") or None) if isinstance(first, dict) else None


def format_error_message(error: object) -> str:
    """The server's error message, from any of the fields that servers use."""
    if isinstance(error, Mapping):
        named = next((error[name] for name in ("message", "detail", "error") if error.get(name)), dict(error))
        error = named if isinstance(named, str) else _format_value(named)
    return str(error or "no reason given").encode("utf-8", "replace").decode()


def _format_value(value: object) -> str:
    """A short representation, however long or deep the value is."""
    shortened = reprlib.Repr()
    shortened.maxstring = shortened.maxother = MAX_EXCERPT
    return shortened.repr(value)


def _find_error_status(body: dict[str, Any] | str) -> int | None:
    error = find_reported_error(body) if isinstance(body, dict) else None
    if not isinstance(error, Mapping):
        return None
    return next((status for name in _CODE_FIELDS if (status := _to_status(error.get(name))) is not None), None)


def _to_status(code: object) -> int | None:
    """The HTTP status of an error code: a number, a number as text, or a name."""
    if isinstance(code, str):
        code = int(code) if code.isascii() and code.isdigit() and len(code) == 3 else _STATUS_BY_NAME.get(code.lower())
    return code if isinstance(code, int) and code in _ERROR_STATUSES else None
