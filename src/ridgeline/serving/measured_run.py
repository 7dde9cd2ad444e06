"""The protocols that published serving latencies were measured with, replayed.

`inferencex` (SemiAnalysis InferenceX, fixed lengths): a closed loop of 10 x concurrency prompts,
lengths uniform in [0.8, 1] x nominal, no prefix hits; the first wave arrives at once.
`dynamo`: whole deployments under a load generator at fixed lengths, often several replicas.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ridgeline.serving.closed_loop import (
    LoopResult,
    Policy,
    protocol_lengths,
    replay_closed_loop,
)
from ridgeline.timing.step_table import ComponentTable, StepTable

__all__ = ["STEADY", "Protocol", "protocol_named", "replay_protocol"]


@dataclass(frozen=True)
class Protocol:
    """How a load generator runs.

    Attributes:
        waves: requests as a multiple of the concurrency.
        shortest: lengths are spread over [shortest, 1] x nominal.
        most: requests replayed at most; more waves repeat the steady state.
        graphs: tokens of the largest captured graph; None: the engine's default.
        wait: decode steps that prompts wait for others to fill a step, at most.
        fill: share of a step's tokens at which they no longer wait; 0: as soon as there is one for
            each attention copy.
        prompt_law, output_law: quantiles of length / nominal at equal shares, whose mean is 1;
            none: the even spread from `shortest` on.
        warm: leave out the requests of the first wave, which all arrive at once, and of the last,
            which nobody follows.
        stream: tokens an engine gathers before it sends a first message; 0 where it sends a first
            token at once.
        poll: decode steps between an engine's looks at new requests.
    """

    waves: int = 10
    shortest: float = 0.8
    most: int = 1024
    stream: int = 0
    poll: int = 0
    graphs: int | None = None
    wait: int = 0
    fill: float = 1.0
    prompt_law: tuple[float, ...] = ()
    output_law: tuple[float, ...] = ()
    warm: bool = False

    def stretch(self, law: tuple[float, ...]) -> float:
        """Nominal over mean length."""
        return 1.0 if law else 2 / (1 + self.shortest)


_PROTOCOLS = {"inferencex": Protocol(), "dynamo": Protocol(shortest=1.0)}
# A plain question: lengths within 10 % of the mean, so that requests do not run in lockstep.
STEADY = Protocol(waves=4, shortest=0.82)


def protocol_named(name: str) -> Protocol:
    """The protocol of a table's `protocol` column; an unknown one counts as inferencex."""
    return _PROTOCOLS.get(name, _PROTOCOLS["inferencex"])


def replay_protocol(table: StepTable | ComponentTable, protocol: Protocol, *, concurrency: int,
                    prompt: int, output: int, policy: Policy,
                    together: Callable[[float], Any] | None = None) -> LoopResult:
    """Replay a protocol on one replica.

    Args:
        table: step times.
        protocol: of the load generator.
        concurrency: requests in flight on this replica.
        prompt, output: nominal tokens.
        policy: the engine's scheduler.
        together: of the time by tokens, what attention copies work on together [s].
    """
    count = min(protocol.waves * concurrency, max(protocol.most, 3 * concurrency))
    prompts = protocol_lengths(prompt, count, protocol.shortest, protocol.prompt_law)
    outputs: list[Any] = protocol_lengths(output, count, protocol.shortest, protocol.output_law)
    policy = dataclasses.replace(policy, wait=protocol.wait, fill=protocol.fill)
    run = replay_closed_loop(table, concurrency=concurrency, prompts=prompts,
                             outputs=outputs[::-1], policy=policy, together=together)
    run = dataclasses.replace(run, first_wave=min(concurrency, count),
                              later=max(protocol.waves - 1, 0) * concurrency)
    if not protocol.warm or count < 3 * concurrency:
        return run
    middle = slice(concurrency, count - concurrency)
    return LoopResult(run.ttft[middle], run.tpot[middle], run.duration, run.output_tokens)
