"""Run the application on a port."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import uvicorn

from ridgeline.errors import BadInput
from ridgeline.http.app import create_app

__all__ = ["serve"]


def serve(*, host: str, port: int, names: Iterable[str] = (), workers: int | None = None,
          limit: float = 10.0, long_limit: float = 120.0) -> None:
    """Serve until interrupted; the address is printed once it is open.

    Raises:
        BadInput: the address cannot be listened on.
    """
    place = _listen(host, port)
    bound = place.getsockname()[1]
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    called = (*names, host) if host not in ("0.0.0.0", "::") else tuple(names)
    app = create_app(hosts=called, workers=workers, limit=limit, long_limit=long_limit)
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False,
                            timeout_keep_alive=30, h11_max_incomplete_event_size=32 * 1024,
                            timeout_graceful_shutdown=2)
    print(f"Ridgeline is at http://{shown}:{bound}/ (Ctrl-C ends it)", flush=True)
    uvicorn.Server(config).run(sockets=[place])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        place = socket.socket(family, socket.SOCK_STREAM)
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind((host, port))
    except OSError as error:
        other = "--host" if isinstance(error, socket.gaierror) else "--port"
        raise BadInput(f"cannot listen on {host}:{port}: {error.strerror or error}; "
                       f"choose another {other}") from error
    place.listen(512)
    return place
