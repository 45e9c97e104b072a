"""The errors of the Hub's client."""

from __future__ import annotations


def list_request_errors() -> tuple[type[Exception], ...]:
    """The exceptions of a request: refused by the Hub, or without an answer.

    The base classes of the client's own `HfHubHTTPError`: `OSError`, and `HTTPError` of the HTTP library that this version of
    the client uses.
    """
    from huggingface_hub.errors import HfHubHTTPError

    return tuple(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception))
