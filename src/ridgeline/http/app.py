"""The application: every question under /api, the catalog, and the page that asks them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from ridgeline import __version__
from ridgeline.errors import RidgelineError
from ridgeline.http import catalog
from ridgeline.http.desk import Desk
from ridgeline.http.guard import Guard
from ridgeline.http.openapi import ERRORS, describe, question_operation
from ridgeline.http.pages import add_pages
from ridgeline.http.work import EXTRAS, Reply, check, refusal
from ridgeline.http.workers import Workers
from ridgeline.questions.registry import QUESTIONS

__all__ = ["create_app"]

_JSON = "application/json"


def create_app(*, hosts: Iterable[str] = (), workers: int | None = None, limit: float = 10.0,
               long_limit: float = 120.0) -> FastAPI:
    """The ASGI application.

    Args:
        hosts: names it answers to beside the loopback's.
        workers: processes that answer; None: one a core, at least two.
        limit: seconds a question may take.
        long_limit: seconds a streamed one may take.
    """
    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        pool = Workers(workers or max(2, os.cpu_count() or 1))
        app.state.desk = Desk(pool, limit, long_limit)
        try:
            yield
        finally:
            pool.close()

    app = FastAPI(title="Ridgeline", version=__version__, lifespan=life, docs_url=None,
                  redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, hosts=tuple(hosts))
    _add_errors(app)
    _add_catalog(app)
    for name in QUESTIONS:
        _add_question(app, name)
    describe(app)
    add_pages(app)
    return app


def _add_errors(app: FastAPI) -> None:
    """Every refusal in the one JSON form."""

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = "not_found" if error.status_code == 404 else "bad_request"
        reply = _response(refusal(error.status_code, kind, str(error.detail)))
        reply.headers.update(error.headers or {})
        return reply

    async def own_error(request: Request, error: Exception) -> Response:
        return _response(refusal(404, "not_found", str(error)))

    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RidgelineError, own_error)


def _add_catalog(app: FastAPI) -> None:
    @app.get("/api/questions", summary="Every question with its fields", tags=["catalog"])
    def questions() -> Response:
        return _json({name: {"title": q.title, "text": q.text, "slow": q.slow,
                             "draws": bool(q.figures), "fields": [_field(f) for f in q.fields]}
                      for name, q in QUESTIONS.items()})

    @app.get("/api/definitions", summary="What each number of an answer means",
             tags=["catalog"])
    def definitions() -> Response:
        from ridgeline.questions.definitions import definitions as known

        return _json({name: asdict(d) for name, d in known().items()})

    @app.get("/api/catalog/{kind}", summary="Names of a kind", tags=["catalog"],
             responses={404: ERRORS[404]})
    def names(kind: str) -> Response:
        return _json({"kind": kind, "entries": catalog.listing(kind)})

    @app.get("/api/catalog/{kind}/{name}", summary="One entry with its sources",
             tags=["catalog"], responses={404: ERRORS[404]})
    def one(kind: str, name: str) -> Response:
        if kind not in catalog.KINDS:
            catalog.listing(kind)
        return _json({"kind": kind, "entry": catalog.entry(kind, name)})


def _field(field: Any) -> dict[str, Any]:
    shown = {k: v for k, v in asdict(field).items() if k != "path"}
    return shown


def _add_question(app: FastAPI, name: str) -> None:
    question = QUESTIONS[name]

    async def answer(request: Request) -> Response:
        asked = await _read(request)
        if isinstance(asked, Reply):
            return _response(asked)
        return _response(await request.app.state.desk.ask(name, *asked))

    async def stream(request: Request) -> Response:
        asked = await _read(request)
        if isinstance(asked, Reply):
            return _response(asked)
        # What cannot be read is refused before a stream begins.
        if refused := await run_in_threadpool(check, name, asked[0]):
            return _response(refused)
        return StreamingResponse(request.app.state.desk.stream(name, *asked),
                                 media_type="text/event-stream",
                                 headers={"cache-control": "no-store"})

    app.add_api_route(f"/api/{name}", answer, methods=["POST"], name=name,
                      **question_operation(name))
    if question.slow:
        app.add_api_route(f"/api/{name}/stream", stream, methods=["POST"], name=f"{name}_stream",
                          **question_operation(name, stream=True))


async def _read(request: Request) -> tuple[dict[str, Any], tuple[str, ...]] | Reply:
    """Body and extras of a request, or why it is refused."""
    # A form on another site's page can post, but not with this type.
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != _JSON:
        return refusal(415, "bad_request", "send the body as application/json")
    include = ",".join(request.query_params.getlist("include"))
    extras = tuple(include.split(",")) if include else ()
    if any(part not in EXTRAS for part in extras) or len(set(extras)) < len(extras):
        return refusal(422, "bad_input", f"include may list {', '.join(EXTRAS)}, each once, "
                       f"not {include[:60]!r}")
    try:
        body = msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        return refusal(400, "bad_request", f"the body is not JSON: {error}")
    if not isinstance(body, dict):
        return refusal(422, "bad_input", "the body must be an object of fields")
    return body, extras


def _json(content: Any) -> Response:
    return Response(msgspec.json.encode(content), media_type=_JSON)


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, media_type=_JSON)
