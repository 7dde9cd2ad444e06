"""One way of thinking on one machine: work, time, memory and money of a question."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput, Infeasible
from ridgeline.quantity import Quantity
from ridgeline.reasoning.compute import chains_kv_bytes, thinking_flop

if TYPE_CHECKING:
    from ridgeline.questions.performance import Performance
    from ridgeline.questions.resolve import Resolved
    from ridgeline.questions.think import ThinkAsk

__all__ = ["Run", "run_of"]

# Beyond this the throughput of one machine no longer grows.
_MOST_AT_ONCE = 2048


@dataclass(frozen=True)
class Run:
    """What a question takes.

    Attributes:
        flop: of generating, the verifier's apart.
        latency: side by side as far as memory allows; verifying included.
        sequential: one answer after the other [s].
        kv_bytes: cache of all chains that are wanted at once.
        room: chains that fit at once on the machine.
        waves: times the machine fills with chains.
        total_tokens: generated.
        verifier_flop, verifier_s: of scoring every answer.
        usd, joules: of the machine's time; None when unknown.
        independent: independent answers among which one may be right.
        active_params: of the model.
    """

    flop: float
    latency: Quantity
    sequential: Quantity
    kv_bytes: float
    room: float
    waves: int
    total_tokens: float
    verifier_flop: float
    verifier_s: float
    usd: float | None
    joules: float | None
    independent: int
    active_params: float


def run_of(ask: ThinkAsk, model: str, machine: str, tokens: int, *, samples: int | None = None,
           strategy: str | None = None) -> Run:
    """Time and cost a strategy with one model.

    Args:
        ask: the question.
        model, machine: what thinks, on what.
        tokens: of an answer or node.
        samples: instead of those asked for.
        strategy: instead of the one asked for.

    Raises:
        Infeasible: the model or one chain does not fit.
    """
    how = strategy or ask.strategy
    n = 1 if how == "chain" else samples or ask.samples
    beside, steps = (min(n, ask.width), math.ceil(n / min(n, ask.width))) if how == "tree" \
        else (n, 1)
    # A path of a tree reads what came before it: its nodes share the tokens of their parents.
    length = tokens * steps
    resolved, room = _resolved(ask, model, machine, tokens, steps)
    wanted = beside * ask.users
    at_once = int(min(wanted, room, _MOST_AT_ONCE))
    perf = _performance(ask, resolved, at_once)
    alone = perf if at_once == 1 and steps == 1 else _performance(ask, resolved, 1)
    checked = _verified(ask, n, tokens, machine)
    latency = _latency(perf, tokens, steps * max(1.0, wanted / at_once), checked[1])
    hourly = _hourly(ask, resolved)
    chip = resolved.cluster.chip
    watts = chip.tdp * resolved.cluster.n_chips
    share = latency.value / ask.users
    one = alone.e2e * n
    return Run(
        flop=float(thinking_flop(samples=float(n), output_tokens=float(tokens),
                                 active_params=float(resolved.architecture.active_params))),
        latency=latency, sequential=Quantity.exact(one, "s", "calibrated"),
        kv_bytes=_cache(resolved, ask.prompt + length, wanted), room=room,
        waves=math.ceil(wanted / at_once), total_tokens=float(n * tokens),
        verifier_flop=checked[0], verifier_s=checked[1],
        usd=None if hourly is None else hourly * share / 3600.0,
        joules=watts * share if watts else None,
        independent=n if how != "tree" else max(1, n // steps),
        active_params=float(resolved.architecture.active_params))


def _resolved(ask: ThinkAsk, model: str, machine: str, tokens: int, steps: int
              ) -> tuple[Resolved, float]:
    """The scenario of one sample, and how many whole chains the machine holds at once.

    Raises:
        BadInput: an encoder, or a chain longer than the model reads.
        Infeasible: the model or one chain does not fit.
    """
    from ridgeline.questions.fit import shortfall
    from ridgeline.questions.performance import deployed_of
    from ridgeline.questions.resolve import resolve
    from ridgeline.scenario import Scenario

    # Halfway down a tree, a node reads half of the path before it.
    prompt, chain = ask.prompt + tokens * (steps - 1) // 2, ask.prompt + tokens * steps
    resolved = resolve(Scenario.from_fields({"model": model, "machine": machine,
                                             "prompt": prompt, "output": tokens}))
    if not resolved.architecture.causal:
        raise BadInput(f"{model} is an encoder and writes no answer; it can be a --verifier")
    most = resolved.architecture.max_context
    if most and chain > most:
        raise BadInput(f"a chain of {chain:,} tokens is longer than the {most:,} that {model} "
                       "reads")
    if short := shortfall(resolved):
        raise Infeasible(short)
    one = float(deployed_of(resolved).footprint.max_concurrency(float(chain)))
    if one < 1:
        raise Infeasible(f"one chain of {chain:,} tokens of {model} does not fit in the KV cache "
                         f"of {machine}")
    return resolved, math.floor(one) * float(resolved.deployment.dp)


def _performance(ask: ThinkAsk, resolved: Resolved, at_once: int) -> Performance:
    """The engine with so many samples in flight; the prompt is computed once for a question."""
    from ridgeline.questions.performance import calibrated_performance
    from ridgeline.questions.resolve import resolve

    hit = 1 - ask.users / at_once if at_once > ask.users else 0.0
    return calibrated_performance(resolve(resolved.scenario.replace(
        concurrency=at_once, prefix_hit=min(hit, 0.999))))


def _latency(p: Performance, tokens: int, steps: float, checking: float) -> Quantity:
    decode = max(0, tokens - 1) * p.tpot
    value = steps * (p.ttft + decode) + checking
    ends = [steps * (p.ttft * math.exp(p.ttft_spread[i]) + decode * math.exp(p.tpot_spread[i]))
            + checking for i in (1, 2)]
    return Quantity(value, min(value, ends[0]), max(value, ends[1]), "s", "calibrated")


def _cache(resolved: Resolved, tokens: float, chains: int) -> float:
    architecture = resolved.architecture
    whole = float(architecture.cache_bytes(float(tokens),
                                           kv_bits=resolved.formats.kv.bytes * 8))
    return float(chains_kv_bytes(kv_bytes_per_token=whole / tokens, context_length=float(tokens),
                                 samples=float(chains)))


def _verified(ask: ThinkAsk, n: int, tokens: int, machine: str) -> tuple[float, float]:
    """FLOP and seconds of reading every answer once with the verifier."""
    if ask.verifier is None:
        return 0.0, 0.0
    from ridgeline.model.load import load_architecture
    from ridgeline.questions.performance import calibrated_performance
    from ridgeline.questions.resolve import resolve
    from ridgeline.retrieval.search_work import encoder_flop
    from ridgeline.scenario import Scenario

    architecture = load_architecture(ask.verifier)
    if 0 < architecture.max_context < ask.prompt + tokens:
        raise BadInput(f"the verifier {ask.verifier} reads at most {architecture.max_context:,} "
                       f"tokens, not {ask.prompt + tokens:,}")
    flop = float(encoder_flop(active_params=float(architecture.active_params), n_texts=float(n),
                              tokens_per_text=float(ask.prompt + tokens)))
    fields: dict[str, Any] = {
        "model": ask.verifier, "machine": machine, "prompt": ask.prompt + tokens,
        "output": 1 if architecture.causal else 0}
    at_once = min(n * ask.users, _MOST_AT_ONCE)
    found = calibrated_performance(resolve(Scenario.from_fields({**fields,
                                                                 "concurrency": at_once})))
    return flop, found.e2e * n * ask.users / at_once


def _hourly(ask: ThinkAsk, resolved: Resolved) -> float | None:
    """Rent of the machine for an hour."""
    price, chip = ask.usd_per_chip_hour, resolved.cluster.chip
    if price is None and chip.usd_per_hour:
        price = sum(chip.usd_per_hour) / 2
    return None if price is None else price * resolved.cluster.n_chips
