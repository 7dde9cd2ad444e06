"""What every request passes first: its host and size; and headers on every response."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

__all__ = ["LARGEST_BODY", "Guard", "security_headers"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

LARGEST_BODY = 64 * 1024
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
# Scripts and data only from here; styles may be inline, which figures' elements need.
_POLICY = ("default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
           "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; form-action 'none'; "
           "base-uri 'none'; frame-ancestors 'none'")


def security_headers() -> list[tuple[bytes, bytes]]:
    """Headers of every response."""
    return [(b"content-security-policy", _POLICY.encode()), (b"x-content-type-options", b"nosniff"),
            (b"x-frame-options", b"DENY"), (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(), geolocation=(), microphone=()")]


class Guard:
    """ASGI middleware.

    Args:
        app: what is guarded.
        hosts: names a request may call this server by, beside the loopback's; a page of another
            name, which a stranger's site could point here, is refused.
    """

    def __init__(self, app: App, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = {h.lower() for h in (*_LOOPBACK, *hosts)}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send
                       ) -> None:
        """Refuse or pass on."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def reply(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *security_headers()]
            await send(message)

        headers = {name.lower(): value for name, value in scope["headers"]}
        if problem := self._problem(headers):
            return await _refuse(reply, *problem)
        try:
            await self._app(scope, _bounded(receive), reply)
        except _TooLarge:
            await _refuse(reply, 413, f"a body may hold at most {LARGEST_BODY:,} bytes")
        return None

    def _problem(self, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name not in self._hosts:
            return 421, f"this server does not answer to the name {name[:60]!r}"
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if origin and origin.split("://", 1)[-1] != host:
            return 403, "pages of another origin may not ask this server"
        try:
            size = int(headers.get(b"content-length", b"0"))
        except ValueError:
            return 400, "content-length is not a number"
        if size > LARGEST_BODY:
            return 413, f"a body may hold at most {LARGEST_BODY:,} bytes, not {size:,}"
        return None


class _TooLarge(Exception):
    """A body without a length that went on too long."""


def _bounded(receive: Receive) -> Receive:
    seen = 0

    async def read() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > LARGEST_BODY:
            raise _TooLarge
        return message

    return read


async def _refuse(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": {"kind": "bad_request", "message": text}}).encode()
    await send({"type": "http.response.start", "status": status,
                "headers": [(b"content-type", b"application/json"),
                            (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
