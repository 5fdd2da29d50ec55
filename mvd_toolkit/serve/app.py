"""The HTTP side of `mvd serve`: a page, and files in and out.

    GET  /           the page
    GET  /status     what the service accepts, and how busy it is
    GET  /formats    what can be written
    POST /upscale    the body is a voxel file or a mesh; the answer is the fine file
    POST /view       the same, and the answer is what the page shows

Bodies go to a file of a name made here, and no further: a worker reads it. An answer's file has no
name any more while it is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, Literal

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mvd_toolkit import __version__, io
from mvd_toolkit.errors import UsageError
from mvd_toolkit.report import page as report_page
from mvd_toolkit.serve.guards import Guard
from mvd_toolkit.serve.pool import Pool
from mvd_toolkit.serve.worker import Job

SCHEMA: Final = "mvd.serve/1"
HERE: Final = Path(__file__).parent
CHUNK: Final = 1 << 16
DRAIN_SECONDS: Final = 2.0
"""How long the rest of a body that is not wanted is still taken, so that the answer is read."""

STATIC: Final = {
    "page.css": (report_page.HERE / "page.css", "text/css"),
    "serve.css": (HERE / "serve.css", "text/css"),
    "three.js": (report_page.HERE / "vendor" / "three.js", "text/javascript"),
    "viewer.js": (report_page.HERE / "viewer.js", "text/javascript"),
    "serve.js": (HERE / "serve.js", "text/javascript"),
}


class Options(BaseModel):
    """What a client may say of an upload, in the query."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("", max_length=255)
    format: str | None = Field(None, max_length=32)
    to: int | None = Field(None, ge=1, le=4096)
    low_rule: Literal["auto", "any", "half", "centre", "soft"] = "auto"
    fill: Literal["hull", "none"] = "hull"
    resolution: int = Field(32, ge=3, le=256)
    smooth: bool | None = None
    faces: int | None = Field(None, ge=4, le=10**8)
    size: str | None = Field(None, max_length=32)


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(
        self, status: int, message: str, kind: str = "InputError", retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}


def create_app(pool: Pool, folder: Path) -> FastAPI:
    """The service.

    Args:
        pool: started.
        folder: empty and private; uploads and results lie there while they are worked on.
    """
    app = FastAPI(
        title="mvd_toolkit", version=__version__, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.add_middleware(Guard, hosts=pool.settings.hosts)
    _tell_errors(app)

    @app.get("/")
    async def page() -> Response:
        return Response((HERE / "page.html").read_bytes(), media_type="text/html")

    @app.get("/static/{name}")
    async def static(name: str) -> Response:
        if name not in STATIC:
            raise Refused(404, f"no such file: expected one of {', '.join(STATIC)}", "UsageError")
        path, kind = STATIC[name]
        return Response(path.read_bytes(), media_type=kind)

    @app.get("/status")
    async def status() -> dict[str, Any]:
        settings = pool.settings
        accepts = {
            key: getattr(settings, key)
            for key in ("timeout", "max_upload", "max_result", "max_edge", "max_faces")
        }
        busy = {"inside": pool.inside, "capacity": settings.capacity, **pool.counts}
        told = {"version": __version__, "accepts": accepts, **busy}
        return {"schema": SCHEMA, "ok": True, "summary": told}

    @app.get("/formats")
    async def formats() -> dict[str, Any]:
        writable = [form for form in io.known_formats() if form.writes]
        items = [{"name": f.name, "suffix": f.suffixes[0], "kind": f.kind} for f in writable]
        return {"schema": SCHEMA, "ok": True, "items": items}

    @app.api_route("/upscale", methods=["POST", "PUT"])
    async def upscale(request: Request, options: Annotated[Options, Query()]) -> Response:
        return await _work(pool, folder, request, options, view=False)

    @app.api_route("/view", methods=["POST", "PUT"])
    async def view(request: Request, options: Annotated[Options, Query()]) -> Response:
        return await _work(pool, folder, request, options, view=True)

    return app


async def _work(
    pool: Pool, folder: Path, request: Request, options: Options, view: bool
) -> Response:
    """Take the body, have it upscaled, send what came of it."""
    if not pool.enter():
        await _drain(request)
        raise Refused(
            503,
            f"busy: {pool.settings.capacity} files are inside already; come back",
            "UnavailableError",
            pool.retry_after,
        )
    token = secrets.token_hex(16)
    path = folder / f"{token}{_suffix(options.name)}"
    output = folder / f"{token}.out"
    try:
        job = _job(path, output, options, view)
        await _receive(request, path, pool.settings.max_upload, pool.settings.timeout)
        if await request.is_disconnected():
            raise ClientDisconnect
        answer = await pool.run(job)
        if not answer.get("ok"):
            error = answer.get("error", {})
            raise Refused(
                int(answer.get("status", 500)),
                str(error.get("message")),
                str(error.get("type")),
            )
        return _file_response(output, answer)
    finally:
        pool.leave()
        for file in folder.glob(f"*{token}*"):  # what a killed worker was writing, too
            file.unlink(missing_ok=True)


def _job(path: Path, output: Path, options: Options, view: bool) -> Job:
    asked = options.model_dump(exclude={"size"})
    try:
        size = io.parse_length(options.size) if options.size else None
    except UsageError as error:
        raise Refused(400, f"size: {error}", "UsageError") from error
    writable = [form.name for form in io.known_formats() if form.writes]
    if options.format not in (None, *writable):
        expected = ", ".join(writable)
        message = f"format: expected one of {expected}, found {options.format!r}"
        raise Refused(400, message, "UsageError")
    return Job(path=str(path), output=str(output), view=view, size=size, **asked)


def _suffix(name: str) -> str:
    """The suffix of a known format that a client's name ends in; nothing else of it is used."""
    form = io.format_of_suffix(name) if name else None
    return (form and form.suffix_of(Path(name))) or ""


async def _receive(request: Request, path: Path, limit: int, seconds: float) -> None:
    """Write the body to a file, no more of it than the limit."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/"):
        await _drain(request)
        raise Refused(
            415, "expected the bytes of the file as the body (curl -T FILE), found a form"
        )
    announced = request.headers.get("content-length", "0")
    too_large = f"expected at most {limit} bytes, found more"
    if not announced.isdigit() or int(announced) > limit:
        await _drain(request)
        raise Refused(413, too_large)
    received = 0
    try:
        async with asyncio.timeout(seconds):
            with path.open("xb") as file:
                async for chunk in request.stream():
                    received += len(chunk)
                    if received > limit:
                        break
                    file.write(chunk)
    except TimeoutError:
        message = f"upload: expected all of it within {seconds:g} s, found {received} bytes"
        raise Refused(408, message) from None
    except OSError as error:
        raise Refused(507, f"upload: cannot be kept: {error.strerror}", "UsageError") from error
    if received > limit:
        await _drain(request)
        raise Refused(413, too_large)


async def _drain(request: Request) -> None:
    """Read on for a moment: who still sends would not hear the answer."""
    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in request.stream():
                pass


def _file_response(output: Path, answer: dict[str, Any]) -> Response:
    file = output.open("rb")
    output.unlink()  # whatever becomes of the client, the file is gone when this one is closed
    name = str(answer.get("name"))
    if not re.fullmatch(r"[\w.]+", name, re.ASCII):
        name = "result"
    return StreamingResponse(
        _chunks(file),
        media_type="application/json" if name.endswith(".json") else "application/octet-stream",
        headers={
            "Content-Length": str(os.fstat(file.fileno()).st_size),
            "Content-Disposition": f'attachment; filename="{name}"',
            "MVD-Facts": json.dumps(answer.get("facts", {})),
        },
    )


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk


def _tell_errors(app: FastAPI) -> None:
    """Every error is a document of the same shape."""

    def told(status: int, kind: str, message: str, headers: dict[str, str]) -> Response:
        error = {"type": kind, "message": message}
        document = {"schema": SCHEMA, "ok": False, "error": error}
        return JSONResponse(document, status, headers=headers)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return told(error.status, error.kind, str(error), error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        said = "; ".join(
            f"{e['loc'][-1]}: {e['msg']}, found {e['input']!r:.80}" for e in error.errors()
        )
        return told(400, "UsageError", said, {})

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        return told(error.status_code, "UsageError", str(error.detail), dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
        text = "this is a bug in mvd_toolkit; the log of the service says more"
        return told(500, "MVDError", text, {})
