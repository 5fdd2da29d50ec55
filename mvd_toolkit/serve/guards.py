"""Who may ask: the names the service answers to, and no page of another site.

A page that a user has open can make the browser send requests to this machine, and a name of the
page's own can be made to point here (DNS rebinding). Both are told by headers that scripts cannot
set: ``Host`` must be an address or a known name, and ``Origin`` must be the service itself.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""What every answer says to browsers."""


def host_name(host: str) -> str:
    """The name in a ``Host`` header, without the port, in lower case.

    >>> host_name("[::1]:8000"), host_name("Localhost:80")
    ('::1', 'localhost')
    """
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


def is_address(name: str) -> bool:
    """Whether a host's name is an address: no name server has a say in it."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a service bound to ``host`` is reached from this machine alone."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


class Guard:
    """ASGI middleware: refuses requests of strangers and puts `HEADERS` on every answer."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = {"localhost", *(host_name(host) for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 421 or 403."""
        if scope["type"] != "http":  # there are no web sockets here
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    *((name.lower().encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        refused = self._refusal(scope)
        if refused is None:
            await self._app(scope, receive, send_with_headers)
        else:
            await _answer(send_with_headers, *refused)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        said: dict[bytes, list[str]] = {}
        for name, value in scope["headers"]:
            said.setdefault(name, []).append(value.decode("latin-1"))
        hosts = said.get(b"host", [])
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return 421, (
                f"host: expected an address, localhost or a name given by --allow-host, found "
                f"{', '.join(hosts)!r}"
            )
        own = {f"{scheme}://{hosts[0].strip().lower()}" for scheme in ("http", "https")}
        foreign = [origin for origin in said.get(b"origin", []) if origin.lower() not in own]
        site = said.get(b"sec-fetch-site", ["none"])[0]
        if scope["method"] not in ("GET", "HEAD") and (foreign or site == "cross-site"):
            return 403, f"origin: expected this service's own page, found {foreign or site}"
        return None

    def _is_own(self, host: str) -> bool:
        name = host_name(host)
        return name in self._hosts or is_address(name)


async def _answer(send: Send, status: int, message: str) -> None:
    error = {"type": "UsageError", "message": message}
    body = json.dumps({"schema": "mvd.serve/1", "ok": False, "error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
