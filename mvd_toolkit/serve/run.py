"""Running the service: a socket, the workers, and uvicorn until a signal comes."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvicorn

from mvd_toolkit.errors import UsageError
from mvd_toolkit.serve.app import create_app
from mvd_toolkit.serve.pool import Pool
from mvd_toolkit.serve.settings import Settings

CONNECTIONS: Final = 512
"""Open at once; one more is answered with 503."""

BACKLOG: Final = 256
SHUTDOWN_SECONDS: Final = 5


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        UsageError: the address is not ours, or taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        raise UsageError(f"--host {host} --port {port}: {error.strerror or error}") from error
    return bound


def url(bound: socket.socket) -> str:
    """Where a browser finds the service."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def serve(settings: Settings, bound: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; requests in flight get a few seconds to end.

    Raises:
        UnavailableError: the model cannot be loaded.
    """
    with tempfile.TemporaryDirectory(prefix="mvd-serve-") as folder:
        asyncio.run(_serve(settings, bound, on_ready, Path(folder)))


async def _serve(
    settings: Settings, bound: socket.socket, on_ready: Callable[[], None], folder: Path
) -> None:
    pool = Pool(settings)
    try:
        await pool.start()
        config = uvicorn.Config(
            create_app(pool, folder),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,  # warnings and errors go to stderr
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        on_ready()
        await uvicorn.Server(config).serve(sockets=[bound])
    finally:
        pool.stop()
