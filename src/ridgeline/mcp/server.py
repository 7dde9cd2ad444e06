"""A server of tools: one for each question, and one for the catalog.

Questions run in the same kind of worker processes as the web's, under the same limits, and refuse
with the same one line.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from ridgeline import __version__
from ridgeline.errors import RidgelineError
from ridgeline.http import catalog
from ridgeline.http.work import one_line
from ridgeline.http.workers import Job, Workers
from ridgeline.questions.registry import QUESTIONS

__all__ = ["make_server", "serve_stdio", "tools"]

_CATALOG = types.Tool(
    name="catalog", description="Names of models, chips, engines, formats, links, tiers, prices "
    "or rents; with a name, that entry with its sources.",
    input_schema={"type": "object", "additionalProperties": False, "required": ["kind"],
                  "properties": {"kind": {"type": "string", "enum": list(catalog.KINDS)},
                                 "name": {"type": "string", "maxLength": 200}}})
_GUIDE = ("Ask what a language model on a machine can do, what limits it, what it costs and why. "
          "Numbers are SI (seconds, bytes, FLOP) with 80 % intervals; a refusal is one line that "
          "says what is accepted. Start with `fit` and `estimate`; names come from `catalog`.")
_LONGEST = 64 * 1024


def tools() -> list[types.Tool]:
    """Every question as a tool, from the registry."""
    asked = [types.Tool(name=name, title=question.title, description=question.text,
                        input_schema=question.schema) for name, question in QUESTIONS.items()]
    return [*asked, _CATALOG]


def make_server(workers: Workers, limit: float) -> Server[Any]:
    """The server over a pool of workers.

    Args:
        workers: processes that answer.
        limit: seconds a question may take.
    """
    async def list_tools(context: Any, params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=tools())

    async def call_tool(context: Any, params: types.CallToolRequestParams
                        ) -> types.CallToolResult:
        return await _called(workers, limit, params.name, params.arguments or {})

    return Server("ridgeline", version=__version__, instructions=_GUIDE,
                  on_list_tools=list_tools, on_call_tool=call_tool)


async def _called(workers: Workers, limit: float, name: str, body: Mapping[str, Any]
                  ) -> types.CallToolResult:
    if len(json.dumps(body, default=str)) > _LONGEST:
        return _refused(f"arguments may hold at most {_LONGEST:,} characters")
    if name == "catalog":
        return _looked_up(body)
    if name not in QUESTIONS:
        return _refused(f"unknown tool {name[:80]!r}. Tools: {', '.join(QUESTIONS)}, catalog")
    job = Job(name, body, ("text",), limit)
    try:
        reply = await asyncio.wrap_future(workers.submit(job))
    finally:
        job.cancelled.set()          # a call that is given up ends its worker
    content = json.loads(reply.body)
    if reply.status != 200:
        return _refused(content["error"]["message"])
    text = content.pop("text")
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)],
                                structured_content=content)


def _looked_up(body: Mapping[str, Any]) -> types.CallToolResult:
    kind, name = str(body.get("kind", "")), body.get("name")
    try:
        found: dict[str, Any] = ({"kind": kind, "entries": catalog.listing(kind)} if name is None
                                 else {"kind": kind, "entry": catalog.entry(kind, str(name))})
    except RidgelineError as error:
        return _refused(str(error))
    return types.CallToolResult(structured_content=found, content=[
        types.TextContent(type="text", text=json.dumps(found, separators=(",", ":")))])


def _refused(text: str) -> types.CallToolResult:
    return types.CallToolResult(is_error=True, content=[
        types.TextContent(type="text", text=one_line(text))])


def serve_stdio(*, limit: float = 60.0, workers: int = 2) -> None:
    """Serve on standard input and output until they close."""
    pool = Workers(workers)

    async def run() -> None:
        server = make_server(pool, limit)
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())

    try:
        asyncio.run(run())
    finally:
        pool.close()
