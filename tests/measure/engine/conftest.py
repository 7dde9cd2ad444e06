"""A server that answers as told, well or badly, for the measurer to be tried on."""

import asyncio
import json
import threading
from pathlib import Path

import pytest

PACE = 0.004


class FakeServer:
    """Streams completions over plain sockets; the model's name says how it behaves."""

    def __init__(self) -> None:
        self.seen: list[dict] = []
        self.failures_left: dict[str, int] = {}
        self.in_flight = self.most_in_flight = 0
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self.thread.start()
        assert self.ready.wait(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self) -> None:
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._one, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        await self.stop.wait()
        server.close()
        await asyncio.sleep(0.02)      # lets connections that clients closed go first

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(10)

    async def _one(self, reader, writer) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                            if line.lower().startswith(b"content-length"))
                body = json.loads(await reader.readexactly(size))
                self.seen.append({"path": head.split()[1].decode(), "head": head.decode(), **body})
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                try:
                    await self._answer(body, writer)
                finally:
                    self.in_flight -= 1
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def _answer(self, body, writer) -> None:
        kind, tokens = body["model"], body["max_tokens"]
        if kind == "flaky" and self.failures_left.setdefault("flaky", 2) > 0:
            self.failures_left["flaky"] -= 1
            kind = "500"
        if kind == "mixed":        # by the prompt's own numbers: the same for the same seed
            kind = ("good", "500", "cut", "garbage", "error")[sum(body["prompt"]) % 5]
        if kind == "500":
            text = b'{"error": {"message": "out of memory"}}'
            writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: %d\r\n\r\n%s"
                         % (len(text), text))
            await writer.drain()
            return
        if kind == "closing" and self.failures_left.setdefault("closing", 1) > 0:
            self.failures_left["closing"] -= 1
            writer.close()
            raise ConnectionError
        if kind == "nohttp":
            writer.write(b"\x00\xffnot http at all\r\n\r\n")
            await writer.drain()
            writer.close()
            raise ConnectionError
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n")
        await self._stream(kind, tokens, len(body.get("prompt", "")), writer)

    async def _stream(self, kind, tokens, prompt, writer) -> None:
        def put(data: bytes) -> None:
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))

        def event(value) -> None:
            put(b"data: " + json.dumps(value).encode() + b"\n\n")

        await asyncio.sleep(PACE)
        for i in range(0 if kind == "empty" else tokens):
            if i == tokens // 2 and kind in ("cut", "error", "garbage", "stall"):
                if kind == "error":
                    event({"error": {"message": "the engine died", "code": 500}})
                    kind = "closed"
                elif kind == "garbage":
                    put(b"\x00\x01\x02 }{ nonsense\n")
                    kind = "closed"
                elif kind == "stall":
                    await writer.drain()
                    await asyncio.sleep(5)
                else:
                    writer.close()
                    raise ConnectionError
                if kind == "closed":
                    put(b"")
                    await writer.drain()
                    return
            choice = {"text": f"w{i} ", "index": 0, "finish_reason": None}
            if kind == "ids":
                choice["token_ids"] = [i]
            event({"choices": [choice]})
            await writer.drain()
            await asyncio.sleep(PACE)
        claimed = {"fewer": tokens // 2, "more": 10 * tokens}.get(kind, tokens)
        event({"choices": [{"text": "", "index": 0, "finish_reason": "length"}]})
        if kind != "nousage":
            event({"choices": [], "usage": {"prompt_tokens": prompt,
                                            "completion_tokens": claimed}})
        put(b": a comment\n\ndata: [DONE]\n\n")
        put(b"")
        await writer.drain()


@pytest.fixture
def server():
    fake = FakeServer()
    yield fake
    fake.close()


@pytest.fixture
def record():
    """Reads a record of a real engine from the folder beside the tests."""
    folder = Path(__file__).parent / "data"
    return lambda name: json.loads((folder / name).read_text())
