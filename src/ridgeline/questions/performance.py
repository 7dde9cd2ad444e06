"""Speed of a scenario: calibrated through the engine's scheduler, or by the textbook."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass

from ridgeline.errors import BadInput
from ridgeline.quantity import Quantity
from ridgeline.questions.resolve import Resolved
from ridgeline.questions.textbook import WholeModel, whole_model
from ridgeline.serving.deployed import Deployed
from ridgeline.serving.latency import Pools, latency
from ridgeline.serving.measured_run import STEADY, Protocol
from ridgeline.timing.engine import engine_content
from ridgeline.timing.roofline import StepBounds, bound_name, step_bounds
from ridgeline.work.step import Step, decode_step, prefill_step

# Engines measured one stream at a time, with rates of their own.
SINGLE_STREAM = ("llamacpp",)
# Requests in flight on a replica that a replay goes through, one by one, in a few seconds.
MOST_REPLAYED = 2**14
# Quantiles of log(real / predicted) at 2.5, 10, 90 and 97.5 %.
Spread = tuple[float, float, float, float]

__all__ = ["Performance", "calibrated_performance", "compute_peak", "decode_context", "deployed_of",
           "ideal_performance", "per_replica", "replayed_performance"]


@dataclass(frozen=True)
class Performance:
    """What one user and the whole machine see.

    Attributes:
        ttft, tpot, e2e: mean seconds of a request.
        output_tokens_per_s: all replicas together.
        prefill_s, decode_s: one prompt alone; one decode step at the steady batch.
        ttft_floor, tpot_floor: physical floors of those two.
        prefill_flop, decode_flop: model FLOP of a prompt and of a step, all devices of a replica.
        decode_bytes: bytes read in a step, all devices of a replica.
        batch: sequences decoding at once on a replica.
        bound_prefill, bound_decode: compute, memory or network.
        ttft_spread, tpot_spread: 2.5, 10, 90, 97.5 % quantiles of log(real / predicted).
    """

    ttft: float
    tpot: float
    e2e: float
    output_tokens_per_s: float
    prefill_s: float
    decode_s: float
    ttft_floor: float
    tpot_floor: float
    prefill_flop: float
    decode_flop: float
    decode_bytes: float
    batch: float
    bound_prefill: str
    bound_decode: str
    ttft_spread: Spread = (0.0, 0.0, 0.0, 0.0)
    tpot_spread: Spread = (0.0, 0.0, 0.0, 0.0)


def decode_context(resolved: Resolved) -> float:
    """Mean length of a sequence while it is decoded [tokens]."""
    work = resolved.scenario.workload
    return work.prompt + (work.output + 1) / 2


def per_replica(resolved: Resolved) -> int:
    """Requests in flight on the fullest replica."""
    return math.ceil(resolved.scenario.workload.concurrency / resolved.deployment.dp)


def compute_peak(resolved: Resolved) -> float:
    """Dense peak of one chip in the format that most of the model computes in [FLOP/s]."""
    routed = resolved.deployment.experts or resolved.architecture.params_by_role.get("expert")
    formats = resolved.formats.experts if routed else resolved.formats.dense
    return resolved.cluster.chip.rate(formats.compute)


def deployed_of(resolved: Resolved) -> Deployed:
    """The scenario's replica, ready for timing."""
    work = resolved.scenario.workload
    longest = work.context or math.ceil((work.prompt + work.output) * 1.1)
    return _deployed(resolved.architecture, resolved.deployment, resolved.cluster,
                     resolved.formats, longest)


# One answer asks the same deployment for memory, speed and ops: its tables are made once.
_deployed = functools.lru_cache(maxsize=64)(Deployed)


def ideal_performance(resolved: Resolved) -> Performance:
    """The textbook: whole-model roofline, one prompt alone, steady decoding at full batch."""
    from ridgeline.timing import textbook

    model, work = whole_model(resolved), resolved.scenario.workload
    batch, context = float(per_replica(resolved)), decode_context(resolved)
    machine = {"n_chips": model.chips, "peak_flops_per_s": model.peak,
               "memory_bandwidth": model.bandwidth}
    kv = float(resolved.architecture.cache_bytes(
        context, kv_bits=resolved.formats.kv.bytes * 8)) / context
    per_token = textbook.attention_flop_per_cached_token(
        n_layers=model.n_layers, n_heads=1.0, head_dim=model.d_attention)
    reading = {"params_read": model.params_read(batch),
               "bytes_per_param": model.read_bytes_per_param(batch)}
    tpot = float(textbook.decode_step(
        **reading, active_params=model.active_params, batch_size=batch, context_length=context,
        kv_bytes_per_token=kv, attention_flop_per_token=per_token, **machine))
    flop = float(textbook.decode_flop(
        active_params=model.active_params, batch_size=batch, context_length=context,
        attention_flop_per_token=per_token))
    moved = float(textbook.decode_bytes(**reading, batch_size=batch, context_length=context,
                                        kv_bytes_per_token=kv))
    if not resolved.architecture.causal:
        tpot = flop = moved = 0.0
    prompt = float(work.prompt)
    prompt_read = {"params_read": model.params_read(prompt),
                   "bytes_per_param": model.read_bytes_per_param(prompt)}
    shape = {"active_params": model.active_params, "prompt_tokens": prompt,
             "n_layers": model.n_layers, "d_attention": model.d_attention,
             "cached_share": work.prefix_hit}
    prompt_flop = float(textbook.prefill_flop(**shape))
    prefill = float(textbook.prefill(**shape, **prompt_read, **machine))
    compute = flop / (model.chips * model.peak)
    return Performance(
        ttft=prefill, tpot=tpot, e2e=prefill + max(work.output - 1, 0) * tpot,
        output_tokens_per_s=batch / tpot * resolved.deployment.dp if tpot else 0.0,
        prefill_s=prefill, decode_s=tpot or math.inf, ttft_floor=prefill, tpot_floor=tpot,
        prefill_flop=prompt_flop,
        decode_flop=flop, decode_bytes=moved, batch=batch,
        bound_prefill=_two_way(model, prompt_flop, prefill),
        bound_decode="compute" if compute >= tpot * (1 - 1e-12) else "memory")


def _two_way(model: WholeModel, flop: float, seconds: float) -> str:
    return "compute" if flop / (model.chips * model.peak) >= seconds * (1 - 1e-12) else "memory"


def calibrated_performance(resolved: Resolved) -> Performance:
    """Calibrated speed: replayed scheduler, or for single-stream engines their measured rates."""
    if not resolved.architecture.causal:
        return _encoded(resolved)
    if resolved.deployment.engine in SINGLE_STREAM:
        return _streamed(resolved)
    return replayed_performance(resolved)


def _encoded(resolved: Resolved) -> Performance:
    """An encoder: one pass over the texts in flight, nothing generated."""
    replica, work = deployed_of(resolved), resolved.scenario.workload
    step = prefill_step(tokens=float(work.prompt), sequences=float(per_replica(resolved)))
    bounds = _bounds(replica, step)
    seconds = max(float(replica.timer(replica.ops(step))) + replica.costs.fixed(
        replica.architecture), float(bounds.lower))
    content = engine_content()["spreads"]["tpot"]["new_model"]
    low, lower, upper, high = content
    return Performance(
        ttft=seconds, tpot=0.0, e2e=seconds, output_tokens_per_s=0.0, prefill_s=seconds,
        decode_s=math.inf, ttft_floor=float(bounds.lower), tpot_floor=0.0,
        prefill_flop=_whole_flop(replica, step), decode_flop=0.0, decode_bytes=0.0, batch=0.0,
        bound_prefill=bound_name(bounds), bound_decode="none",
        ttft_spread=(low, lower, upper, high))


def _streamed(resolved: Resolved) -> Performance:
    """llama.cpp and the like: rates of one batch, prompt first and then generation.

    Replicas of one device each take their share; devices of a replica hold layers in turn.
    """
    from ridgeline.timing.single_stream import single_stream_rates

    replica, work = deployed_of(resolved), resolved.scenario.workload
    batch = float(per_replica(resolved))
    new = max(1.0, work.prompt * (1 - work.prefix_hit))
    rates = single_stream_rates(
        resolved.architecture, resolved.cluster.chip, quant=resolved.formats.dense.name,
        engine=resolved.deployment.engine, prompt_tokens=new, gen_tokens=float(max(work.output, 1)),
        context_depth=work.prompt - new, batch=batch,
        n_devices=resolved.deployment.chips_per_replica)
    ttft, tpot = new * batch / rates.prompt.value, batch / rates.generation.value
    return dataclasses.replace(
        _with_bounds(resolved, replica, ttft, tpot, new, batch, (ttft / batch, tpot)),
        ttft_spread=_log_spread(rates.prompt), tpot_spread=_log_spread(rates.generation))


def _log_spread(rate: Quantity) -> Spread:
    """Spread of a time from the 80 % interval of its rate; 95 % taken 1.53 times as wide."""
    low, high = math.log(rate.value / rate.high), math.log(rate.value / rate.low)
    return 1.53 * low, low, high, 1.53 * high


def replayed_performance(resolved: Resolved, protocol: Protocol = STEADY,
                         replica: Deployed | None = None, tokens_per_step: float = 1.0
                         ) -> Performance:
    """Replay the workload's closed loop on the deployment with calibrated step times.

    Args:
        resolved: the scenario.
        protocol: spread of lengths and how many waves.
        replica: the deployed replica, where it is not what the scenario says.
        tokens_per_step: tokens a sequence gets of a decode step (speculative decoding), which
            lowers the floor of a token's time.

    Raises:
        BadInput: more requests in flight on a replica than are replayed.
    """
    replica, work = replica or deployed_of(resolved), resolved.scenario.workload
    concurrency, context = per_replica(resolved), decode_context(resolved)
    if concurrency > MOST_REPLAYED:
        raise BadInput(f"{concurrency:,} requests in flight on one replica are more than the "
                       f"{MOST_REPLAYED:,} that are replayed; lower the concurrency or give more "
                       "replicas; ridgeline demand says how many chips so many users need")
    new = max(1, round(work.prompt * (1 - work.prefix_hit)))
    # Lengths spread below the nominal ones: aim their mean at what was asked.
    long_in, long_out = (protocol.stretch(law)
                         for law in (protocol.prompt_law, protocol.output_law))
    found = latency(Pools(replica), protocol, concurrency=concurrency,
                    prompt=max(1, round(new * long_in)),
                    output=max(1, round(work.output * long_out)))
    batch = min(float(concurrency), float(replica.policy.max_num_seqs),
                max(1.0, replica.footprint.max_concurrency(context)))
    fixed, costs = replica.costs.fixed(replica.architecture), replica.costs
    # Besides its kernels a step pays for each prompt token and each running sequence.
    share = batch / replica.deployment.attention_dp
    extra = costs.token * new + costs.sequence, costs.sequence * share
    alone = tuple(float(replica.timer(replica.ops(step))) + fixed + more
                  for step, more in zip(_steps(resolved, float(new), batch), extra, strict=True))
    return dataclasses.replace(
        _with_bounds(resolved, replica, found.ttft, found.tpot, float(new), batch, alone,
                     tokens_per_step),
        ttft_spread=found.ttft_spread, tpot_spread=found.tpot_spread)


def _steps(resolved: Resolved, new: float, batch: float) -> tuple[Step, Step]:
    """One prompt alone, and one decode step of the steady batch."""
    past = resolved.scenario.workload.prompt - new
    return (prefill_step(tokens=new, past=past),
            decode_step(sequences=batch, context=decode_context(resolved)))


def _with_bounds(resolved: Resolved, replica: Deployed, ttft: float, tpot: float, new: float,
                 batch: float, alone: tuple[float, ...], tokens_per_step: float = 1.0
                 ) -> Performance:
    """Times held above their floors, with the work behind them."""
    work, steps = resolved.scenario.workload, _steps(resolved, new, batch)
    floors = [_bounds(replica, step) for step in steps]
    lowest = [float(floors[0].lower), float(floors[1].lower) / tokens_per_step]
    ttft, tpot = max(ttft, lowest[0]), max(tpot, lowest[1])
    e2e = ttft + max(work.output - 1, 0) * tpot
    return Performance(
        ttft=ttft, tpot=tpot, e2e=e2e,
        output_tokens_per_s=work.concurrency * max(work.output, 1) / e2e,
        prefill_s=max(alone[0], lowest[0]), decode_s=max(alone[1], lowest[1]),
        ttft_floor=lowest[0], tpot_floor=lowest[1], prefill_flop=_whole_flop(replica, steps[0]),
        decode_flop=_whole_flop(replica, steps[1]), decode_bytes=_whole_bytes(replica, steps[1]),
        batch=batch, bound_prefill=bound_name(floors[0]), bound_decode=bound_name(floors[1]))


def _bounds(replica: Deployed, step: Step) -> StepBounds:
    return step_bounds(replica.ops(step), replica.cluster)


def _whole_flop(replica: Deployed, step: Step) -> float:
    """FLOP of a step on all devices of a tensor-parallel group."""
    share = replica.deployment.chips_per_replica / replica.deployment.pp
    return share * sum(float(op.repeats * op.flop) for op in replica.ops(step))


def _whole_bytes(replica: Deployed, step: Step) -> float:
    share = replica.deployment.chips_per_replica / replica.deployment.pp
    return share * sum(float(op.repeats * op.memory_bytes) for op in replica.ops(step))
