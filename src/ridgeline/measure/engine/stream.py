"""Reading a stream of server-sent events, byte by byte as they come, whatever they hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

__all__ = ["Event", "EventReader", "read_event"]

_LONGEST_LINE = 1 << 24


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: Any = None


class _Choice(msgspec.Struct):
    text: str | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None
    token_ids: list[int] | None = None
    tokens: list[int] | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


_DECODE = msgspec.json.Decoder(_Chunk).decode


@dataclass(slots=True)
class Event:
    """What one event said.

    Attributes:
        done: the closing mark of the stream.
        tokens: whether it carries output.
        ids: token ids it lists, 0 when it lists none.
        finish: reason for ending, "" when not ending.
        prompt_tokens, output_tokens: the server's count so far, -1 where it gives none.
        error: text of an error object.
    """

    done: bool = False
    tokens: bool = False
    ids: int = 0
    finish: str = ""
    prompt_tokens: int = -1
    output_tokens: int = -1
    error: str = ""


class EventReader:
    """Cuts bytes into the data of events; keeps what is not complete yet."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The data of every event that the bytes complete.

        Raises:
            ValueError: a line without end, or one that is no event stream's.
        """
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _LONGEST_LINE:
            raise ValueError(f"a line of more than {_LONGEST_LINE:,} bytes")
        for line in lines:
            line = line.rstrip(b"\r")
            if line.startswith(b"data:"):
                yield line[5:].strip()
            elif line and not line.startswith((b":", b"event:", b"id:", b"retry:")):
                raise ValueError(f"not an event stream: {line[:60]!r}")


def read_event(data: bytes) -> Event:
    """What the data of one event says.

    Raises:
        ValueError: neither the closing mark nor a chunk of an answer.

    >>> read_event(b'{"choices": [{"text": "hi", "finish_reason": null}]}').tokens
    True
    """
    if data == b"[DONE]":
        return Event(done=True)
    try:
        chunk = _DECODE(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no chunk of an answer: {data[:60]!r}") from error
    event = Event(error=_error_text(chunk.error))
    if chunk.usage is not None:
        event.prompt_tokens = _count(chunk.usage.prompt_tokens)
        event.output_tokens = _count(chunk.usage.completion_tokens)
    for choice in chunk.choices[:1]:
        ids = choice.token_ids or choice.tokens
        event.ids = len(ids) if ids else 0
        event.finish = choice.finish_reason or ""
        # A completion's token may have no text of its own; the first event of a chat has none.
        written = choice.text is not None and bool(choice.text or not event.finish)
        event.tokens = bool(written or ids or _says(choice.delta))
    return event


def _says(delta: _Delta | None) -> bool:
    return delta is not None and bool(delta.content or delta.reasoning_content or delta.reasoning
                                      or delta.tool_calls)


def _count(value: int | None) -> int:
    return -1 if value is None else value


def _error_text(error: Any) -> str:
    if not error:
        return ""
    if isinstance(error, dict):
        return str(error.get("message") or error)[:200]
    return str(error)[:200]
