"""Sending one request and reading its answer; nothing the server does ends the run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ridgeline.errors import MissingExtra
from ridgeline.measure.engine.record import Record
from ridgeline.measure.engine.stream import Event, EventReader, read_event

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Endpoint", "open_session", "send"]

_CHUNK = 1 << 16


@dataclass(frozen=True)
class Endpoint:
    """Where requests go and how they are put.

    Attributes:
        url: base of the server ("http://localhost:8000", with or without /v1).
        model: name the server knows the model by.
        chat: ask /v1/chat/completions with text, instead of /v1/completions.
        text: send words instead of token ids (servers that take only text).
        vocabulary: token ids are drawn from 100 to this.
        plain: leave out fields beyond OpenAI's (ignore_eos, min_tokens, ...).
        key: of the API, sent as a bearer token.
        extra: further fields of every request.
        stall: seconds without a byte after which a request is given up.
        timeout: seconds a request may take in all.
        retries: times a failed request is sent again; every attempt counts in its latency.
        seed: of the prompts.
    """

    url: str
    model: str = ""
    chat: bool = False
    text: bool = False
    vocabulary: int = 1000
    plain: bool = False
    key: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    stall: float = 60.0
    timeout: float = 600.0
    retries: int = 0
    seed: int = 0

    @property
    def address(self) -> str:
        """Full address of the requests."""
        base = self.url.rstrip("/").removesuffix("/v1")
        return base + ("/v1/chat/completions" if self.chat else "/v1/completions")

    def body(self, record: Record) -> dict[str, Any]:
        """The request's JSON: a prompt of its own, so that no prefix cache answers for it."""
        import random

        draw = random.Random(self.seed * 1_000_003 + record.index)
        ids = [draw.randrange(100, self.vocabulary) for _ in range(record.prompt)]
        body: dict[str, Any] = {"max_tokens": record.output, "stream": True,
                                "stream_options": {"include_usage": True}, "temperature": 0.0}
        if self.model:
            body["model"] = self.model
        words = " ".join(f"w{i}" for i in ids) if self.chat or self.text else None
        if self.chat:
            body["messages"] = [{"role": "user", "content": words}]
        else:
            body["prompt"] = ids if words is None else words
        if not self.plain:
            body |= {"ignore_eos": True, "min_tokens": record.output, "return_token_ids": True,
                     "cache_prompt": False}
        return {**body, **self.extra}


def open_session(endpoint: Endpoint, fresh: bool = False) -> aiohttp.ClientSession:
    """A session without a limit on connections; only inside a running event loop.

    Args:
        endpoint: where.
        fresh: open a connection for each request instead of keeping those that are done.

    Raises:
        MissingExtra: aiohttp is not installed.
    """
    try:
        import aiohttp
    except ImportError as error:
        raise MissingExtra.needed("measuring an engine", "measure") from error
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    limits = aiohttp.ClientTimeout(total=None, sock_read=endpoint.stall, sock_connect=30.0)
    kept = aiohttp.TCPConnector(limit=0, force_close=fresh)
    return aiohttp.ClientSession(connector=kept, timeout=limits, headers=headers,
                                 read_bufsize=_CHUNK)


async def send(session: aiohttp.ClientSession, endpoint: Endpoint, record: Record,
               begun: float) -> Record:
    """Send a request and fill in its record, whatever happens.

    Args:
        session: from `open_session`.
        endpoint: where.
        record: what to ask; filled in.
        begun: start of the load on the clock of `time.perf_counter`.
    """
    body = endpoint.body(record)
    record.sent = time.perf_counter() - begun
    for attempt in range(endpoint.retries + 1):
        record.attempts = attempt + 1
        record.failure = record.detail = ""
        record.first = record.last = -1.0
        record.chunks, record.arrivals = 0, []
        await _attempt(session, endpoint, record, body, begun)
        if not record.failure:
            break
    return record


async def _attempt(session: aiohttp.ClientSession, endpoint: Endpoint, record: Record,
                   body: dict[str, Any], begun: float) -> None:
    """One attempt. A kept connection that the server had closed meanwhile is opened anew.

    A server that closes one has often closed them all, so the second try takes none that was kept.
    """
    if not await _exchange(session, endpoint, record, body, begun):
        return
    record.reconnects += 1
    record.failure = record.detail = ""
    async with open_session(endpoint, fresh=True) as anew:
        if await _exchange(anew, endpoint, record, body, begun):
            record.reconnects += 1


async def _exchange(session: aiohttp.ClientSession, endpoint: Endpoint, record: Record,
                    body: dict[str, Any], begun: float) -> bool:
    """Send once and read; every way it can fail has a name.

    Returns:
        whether the connection was closed before a single byte of the answer.
    """
    import aiohttp

    answered = False
    try:
        async with asyncio.timeout(endpoint.timeout):
            async with session.post(endpoint.address, json=body) as response:
                answered = True
                if response.status != 200:
                    text = (await response.content.read(2000)).decode("utf-8", "replace")
                    _fail(record, "http", f"{response.status}: {' '.join(text.split())[:160]}")
                    return False
                await _read(response, record, begun)
    except aiohttp.ServerTimeoutError:
        _fail(record, "stall", f"nothing for {endpoint.stall:g} s")
    except TimeoutError:
        _fail(record, "timeout", f"more than {endpoint.timeout:g} s")
    except aiohttp.ClientConnectorError as error:
        _fail(record, "connect", str(error))
    except aiohttp.ClientResponseError as error:
        _fail(record, "garbage", f"no HTTP: {error.message or error}")
    except (aiohttp.ClientError, OSError) as error:
        _fail(record, "cut", f"{type(error).__name__}: {error}")
        return not answered
    except ValueError as error:
        _fail(record, "garbage", str(error))
    return False


def _fail(record: Record, failure: str, detail: str) -> None:
    record.failure, record.detail = failure, " ".join(detail.split())[:200]


async def _read(response: aiohttp.ClientResponse, record: Record, begun: float) -> None:
    """Read the stream to its end."""
    reader, clock = EventReader(), time.perf_counter
    usage, ids, ended = [-1, -1], 0, False
    async for data in response.content.iter_any():
        now = clock() - begun
        for text in reader.feed(data):
            event = read_event(text)
            if event.error:
                _fail(record, "error", event.error)
                return
            if event.done:
                ended = True
                break
            ids += _note(record, event, now)
            usage = [new if new >= 0 else old for new, old in zip(
                (event.prompt_tokens, event.output_tokens), usage, strict=True)]
    if not (ended or record.finish):
        _fail(record, "cut", f"ended after {record.chunks} chunks without a closing mark")
    elif not record.chunks:
        _fail(record, "empty", "no token in the answer")
    _count(record, usage, ids)


def _note(record: Record, event: Event, now: float) -> int:
    """Take one event into the record; returns the token ids it lists."""
    if event.tokens:
        if record.first < 0:
            record.first = now
        record.last = now
        record.chunks += 1
        record.arrivals.append(now)
    if event.finish:
        record.finish = event.finish
    return event.ids


def _count(record: Record, usage: list[int], ids: int) -> None:
    """How many tokens came, by the best count there is, and where the server's cannot be."""
    claimed = usage[1]
    if ids:
        record.output_tokens, record.basis = ids, "token ids"
    elif claimed >= 0:
        record.output_tokens, record.basis = claimed, "usage"
    else:
        record.output_tokens, record.basis = record.chunks, "chunks"
    record.prompt_tokens = usage[0] if usage[0] >= 0 else record.prompt
    if record.failure:
        return
    if claimed >= 0 and ids and claimed != ids:
        record.lies.append(f"claims {claimed} tokens and lists {ids}")
    if 0 <= claimed < record.chunks:
        record.lies.append(f"claims {claimed} tokens in {record.chunks} chunks")
        record.output_tokens, record.basis = max(ids, record.chunks), "chunks"
    if record.output_tokens > record.output:
        record.lies.append(f"{record.output_tokens} tokens, at most {record.output} were asked for")
        record.output_tokens, record.basis = record.chunks, "chunks"
