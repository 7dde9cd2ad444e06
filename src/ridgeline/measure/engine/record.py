"""What happened to one request, in plain fields."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["FAILURES", "Record"]

# How a request can fail, and what each name means.
FAILURES = {
    "connect": "no connection to the server",
    "http": "an HTTP status other than 200",
    "error": "an error object inside the stream",
    "stall": "nothing arrived for longer than the stall limit",
    "timeout": "the request took longer than its limit",
    "cut": "the stream ended before the answer did",
    "garbage": "lines that are no server-sent events, or no JSON",
    "empty": "a complete answer without a single token",
}


@dataclass(slots=True)
class Record:
    """One request.

    Attributes:
        index: place in the plan.
        prompt, output: tokens asked for.
        planned: when it was to be sent, from the start of the load [s].
        sent: when it was sent (the first attempt) [s].
        first, last: first and last token [s]; negative when there was none.
        chunks: events that carried tokens.
        arrivals: when each of them came [s].
        prompt_tokens, output_tokens: as counted; the basis says how.
        basis: "usage" (the server's count), "token ids", or "chunks" (a chunk taken as a token).
        finish: the server's reason for ending.
        failure: one of `FAILURES`, "" when served.
        detail: a short text about the failure.
        attempts: how often it was sent.
        reconnects: how often a kept connection turned out to be closed by the server.
        lies: what the server claimed that cannot be.
    """

    index: int
    prompt: int
    output: int
    planned: float = 0.0
    sent: float = 0.0
    first: float = -1.0
    last: float = -1.0
    chunks: int = 0
    arrivals: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    output_tokens: int = 0
    basis: str = ""
    finish: str = ""
    failure: str = ""
    detail: str = ""
    attempts: int = 0
    reconnects: int = 0
    lies: list[str] = field(default_factory=list)

    @property
    def served(self) -> bool:
        """Whether it was answered to the end."""
        return not self.failure and self.first >= 0

    @property
    def ttft(self) -> float:
        """Sent to first token [s]."""
        return self.first - self.sent

    @property
    def latency(self) -> float:
        """Sent to last token [s]."""
        return self.last - self.sent

    @property
    def tpot(self) -> float:
        """(last token - first token) / (output tokens - 1) [s]; NaN of a single token."""
        return ((self.last - self.first) / (self.output_tokens - 1)
                if self.output_tokens > 1 else float("nan"))
