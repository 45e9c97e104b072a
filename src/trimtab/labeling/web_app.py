"""The web application of the labeling page: the page, its state, and saving answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from trimtab.errors import StoreError
from trimtab.labeling.access_control import TOKEN_PARAMETER, AccessControl, AccessDeniedError
from trimtab.labeling.events import RATER_CHOICES
from trimtab.labeling.labeling_session import LabelingSession
from trimtab.labeling.page_html import LabelingPage
from trimtab.labeling.page_state import build_page_state

MAX_REQUEST_BYTES = 65_536
MAX_NOTE_LENGTH = 2_000
_MAX_ID_LENGTH = 64
_MAX_MILLISECONDS = 24 * 3_600_000
_OK, _BAD_REQUEST, _FORBIDDEN, _CONFLICT, _NO_STORAGE = 200, 400, 403, 409, 507
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _InvalidRequestError(Exception):
    """The body of a request is not what the page sends."""


def build_web_app(session: LabelingSession, guideline: str, access: AccessControl, page: LabelingPage) -> Starlette:
    """The application for one rater. No response allows other origins (CORS), and no path is a file."""
    views = _Views(session, guideline, access, page)
    routes = [
        Route("/", views.show_page, methods=["GET"]),
        Route("/state", views.show_state, methods=["GET"]),
        Route("/answer", views.save_answer, methods=["POST"]),
        Route("/undo", views.save_undo, methods=["POST"]),
    ]
    middleware = [Middleware(BaseHTTPMiddleware, dispatch=views.check_access)]
    return Starlette(routes=routes, middleware=middleware)


@dataclass(frozen=True, slots=True)
class _Views:
    """Requests are processed one at a time, because saving an event does not yield to another request."""

    session: LabelingSession
    guideline: str
    access: AccessControl
    page: LabelingPage

    async def check_access(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            self.access.require_own_address(request.method, request.headers)
            is_link = request.url.path == "/" and TOKEN_PARAMETER in request.query_params
            if not self.access.has_cookie(request.cookies):
                if not is_link:
                    raise AccessDeniedError(
                        "open the link that trimtab label printed; after a restart, open the new link"
                    )
                response = self._set_cookie(self.access.exchange_token(request.query_params[TOKEN_PARAMETER]))
            else:
                response = await call_next(request)
        except AccessDeniedError as error:
            response = PlainTextResponse(str(error), _FORBIDDEN)
        response.headers.update(_HEADERS)
        response.headers["Content-Security-Policy"] = self.page.policy
        return response

    def _set_cookie(self, value: str) -> Response:
        """The page with the cookie; the page's script removes the token from the address."""
        response = HTMLResponse(self.page.html)
        response.set_cookie(self.access.cookie_name, value, httponly=True, samesite="strict")
        return response

    async def show_page(self, request: Request) -> Response:
        del request
        return HTMLResponse(self.page.html)

    async def show_state(self, request: Request) -> Response:
        del request
        return self._respond(is_current=True)

    async def save_answer(self, request: Request) -> Response:
        try:
            body = await _read_body(request)
            event_id, presentation = (
                _get_text(body, "id", _MAX_ID_LENGTH),
                _get_text(body, "presentation", _MAX_ID_LENGTH),
            )
            note, choice = _get_text(body, "note", MAX_NOTE_LENGTH), body.get("choice")
            milliseconds = body.get("milliseconds")
            if choice not in RATER_CHOICES:
                raise _InvalidRequestError(f"choice must be one of {', '.join(RATER_CHOICES)}")
            if type(milliseconds) is not int or milliseconds < 0:
                raise _InvalidRequestError("milliseconds must be a whole number, at least 0")
            milliseconds = min(milliseconds, _MAX_MILLISECONDS)
            return self._respond(self.session.record_answer(event_id, presentation, choice, note, milliseconds))
        except (_InvalidRequestError, StoreError) as error:
            return _describe_error(error)

    async def save_undo(self, request: Request) -> Response:
        try:
            body = await _read_body(request)
            event_id, answer = _get_text(body, "id", _MAX_ID_LENGTH), _get_text(body, "answer", _MAX_ID_LENGTH)
            return self._respond(self.session.undo(event_id, answer))
        except (_InvalidRequestError, StoreError) as error:
            return _describe_error(error)

    def _respond(self, is_current: bool) -> Response:
        """The state; with status 409 if the page did not know it, so that its request was not saved."""
        state = json.dumps(build_page_state(self.session, self.guideline))
        return Response(state, _OK if is_current else _CONFLICT, media_type="application/json")


def _describe_error(error: Exception) -> Response:
    status = _BAD_REQUEST if isinstance(error, _InvalidRequestError) else _NO_STORAGE
    return PlainTextResponse(str(error), status)


async def _read_body(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise _InvalidRequestError("the content type must be application/json")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            raise _InvalidRequestError(f"the body must have at most {MAX_REQUEST_BYTES} bytes")
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _InvalidRequestError("the body must be JSON") from error
    if not isinstance(values, dict):
        raise _InvalidRequestError("the body must be a JSON object")
    return values


def _get_text(values: dict[str, Any], name: str, max_length: int) -> str:
    text = values.get(name)
    if not isinstance(text, str) or len(text) > max_length or (name != "note" and not text):
        raise _InvalidRequestError(f"{name} must be text of at most {max_length} characters")
    return text.encode(errors="replace").decode()  # half of a character is not valid text
