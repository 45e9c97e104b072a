"""Who may use the labeling page: one browser, opened with the printed link, from the page's own address."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from trimtab.errors import TrimtabError

TOKEN_PARAMETER = "token"  # noqa: S105 - a parameter's name


class AccessDeniedError(TrimtabError, PermissionError):
    """A request from another address, another site, or without the link's cookie. The message is shown on the page."""


@dataclass(slots=True)
class AccessControl:
    """The addresses of the page, and its secrets, which are never stored. Not frozen: the link works once.

    `hosts` are the accepted values of the Host header, `HOST:PORT`. Other names are rejected, so that no site can point its
    own name to this machine (DNS rebinding).
    """

    hosts: tuple[str, ...]
    port: int
    _token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    _cookie: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    _is_link_used: bool = False

    @property
    def link(self) -> str:
        """The address to open. It works once."""
        return f"http://{self.hosts[0]}/?{TOKEN_PARAMETER}={self._token}"

    @property
    def cookie_name(self) -> str:
        # browsers send cookies to all ports of a host
        return f"trimtab_label_{self.port}"

    def require_own_address(self, method: str, headers: Mapping[str, str]) -> None:
        """Raises `AccessDeniedError` for another Host, and for requests that another site makes."""
        if headers.get("host") not in self.hosts:
            raise AccessDeniedError(f"open the page at http://{self.hosts[0]}/; other host names are rejected")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        own_origins = [f"http://{host}" for host in self.hosts]
        # a link in another page, such as a terminal in a browser, opens the page but cannot read it
        is_navigation = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
        is_foreign = (origin is not None and origin not in own_origins) or site in ("cross-site", "same-site")
        if (is_foreign and not is_navigation) or (method != "GET" and origin is None):
            raise AccessDeniedError("requests from other sites are rejected")

    def exchange_token(self, token: str) -> str:
        """The value of the cookie for the token of the link. Raises `AccessDeniedError` if it is wrong or was used."""
        if self._is_link_used or not hmac.compare_digest(token.encode(), self._token.encode()):
            raise AccessDeniedError(
                "this link was used already, or is not the last one; restart the command for a new link"
            )
        self._is_link_used = True
        return self._cookie

    def has_cookie(self, cookies: Mapping[str, str]) -> bool:
        return hmac.compare_digest(cookies.get(self.cookie_name, "").encode(), self._cookie.encode())
