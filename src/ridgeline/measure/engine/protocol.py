"""How load is put on a server: a closed loop, a rate of arrivals, or a trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ridgeline.errors import BadInput

if TYPE_CHECKING:
    from ridgeline.serving.requests import Requests

__all__ = ["Protocol", "parse_protocol", "planned_requests"]

_MOST_IN_FLIGHT = 100_000
_FORMS = "closed:64 (requests in flight), rate:5 (arrivals a second) or trace:FILE"


@dataclass(frozen=True)
class Protocol:
    """When requests are sent.

    Attributes:
        kind: "closed", "rate" or "trace".
        concurrency: of a closed loop: requests in flight.
        rate: of an open load: mean arrivals a second.
        trace: of a replay: bundled name or file.
    """

    kind: Literal["closed", "rate", "trace"]
    concurrency: int = 0
    rate: float = 0.0
    trace: str = ""

    def __str__(self) -> str:
        """As the command line takes it."""
        value = {"closed": f"{self.concurrency}", "rate": f"{self.rate:g}", "trace": self.trace}
        return f"{self.kind}:{value[self.kind]}"


def parse_protocol(text: str) -> Protocol:
    """Read a protocol.

    Raises:
        BadInput: none of the three forms, or a number out of range.

    >>> parse_protocol("closed:64").concurrency, parse_protocol("rate:300/min").rate
    (64, 5.0)
    """
    from ridgeline.quantity import parse_number, parse_quantity

    kind, found, value = text.partition(":")
    if not found or not value.strip() or kind not in ("closed", "rate", "trace"):
        raise BadInput(f"cannot read the protocol {text!r}; write {_FORMS}")
    if kind == "trace":
        return Protocol("trace", trace=value)
    if kind == "rate":
        rate = parse_quantity(value, "1/s")
        if not 0 < rate <= 1e6:
            raise BadInput(f"a rate must be above 0 and at most 1,000,000 a second, not {value}")
        return Protocol("rate", rate=rate)
    number = parse_number(value)
    if number != int(number) or not 1 <= number <= _MOST_IN_FLIGHT:
        raise BadInput(f"a closed loop needs a whole number of requests in flight from 1 to "
                       f"{_MOST_IN_FLIGHT:,}, not {value}")
    return Protocol("closed", concurrency=int(number))


def planned_requests(protocol: Protocol, *, requests: int | None, prompt: int, output: int,
                     length_cv: float = 0.0, cv: float = 1.0, speed: float = 1.0, seed: int = 0
                     ) -> Requests:
    """Arrivals and lengths of every request to send, the same for the same seed.

    Args:
        protocol: when.
        requests: how many; None: four waves of a closed loop (at least 32), half a minute of a
            rate, the whole trace.
        prompt, output: mean tokens where the trace does not say.
        length_cv, cv: spread of lengths and of the gaps between arrivals (see serving.load).
        speed: replay a trace faster by this factor.
        seed: of lengths and gaps.

    Raises:
        BadInput: a trace that cannot be read, lengths out of range.
    """
    from ridgeline.serving.load import Load, generate_requests
    from ridgeline.serving.traces import read_trace

    if protocol.kind == "trace":
        return read_trace(protocol.trace, limit=requests, speed=speed).requests
    if protocol.kind == "closed":
        count = requests or max(32, 4 * protocol.concurrency)
        return generate_requests(Load(prompt, output, count, length_cv=length_cv), seed)
    count = requests or max(32, int(30 * protocol.rate))
    return generate_requests(Load(prompt, output, count, protocol.rate, cv, length_cv), seed)
