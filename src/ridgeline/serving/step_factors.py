"""What an engine's learned corrections mean for single steps.

The engine layer predicts means of a closed loop: TTFT and TPOT, each with a correction of its own.
A simulation needs step times. Two factors, one on steps that read prompts and one on steps that
only decode, are chosen such that the simulator's closed loop has exactly those means; under other
loads the same steps then take the same time.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass

from ridgeline.serving.closed_loop import protocol_lengths
from ridgeline.serving.deployed import Deployed
from ridgeline.serving.engine_rules import engine_scheduler
from ridgeline.serving.latency import Latency, Pools, first_steps, latency
from ridgeline.serving.measured_run import STEADY
from ridgeline.serving.requests import Requests, closed_loop_requests
from ridgeline.serving.scheduler import Scheduler
from ridgeline.serving.simulator import Run, simulate_replica
from ridgeline.timing.roofline import step_bounds
from ridgeline.timing.single_stream import single_stream_rates
from ridgeline.timing.step_table import StepTable
from ridgeline.work.step import decode_step, prefill_step

__all__ = ["StepFactors", "scaled", "step_factors"]

# Engines measured one stream at a time, with rates of their own.
STREAMED = ("llamacpp",)
_ROUNDS = 12
_CLOSE = 1e-3
# How far the two factors may part: beyond, decode-only steps are too rare in the closed loop for
# their time to be told from its mean.
_APART = 4.0


@dataclass(frozen=True)
class StepFactors:
    """Factors on the table's steps.

    Attributes:
        prompts: on steps that read prompts.
        decode: on steps that only decode.
        outside: time a request spends outside the steps before its first token [s].
        prompt_spread, decode_spread: factors on those two at the ends of the 80 % interval.
    """

    prompts: float
    decode: float
    outside: float = 0.0
    prompt_spread: tuple[float, float] = (1.0, 1.0)
    decode_spread: tuple[float, float] = (1.0, 1.0)

    def towards(self, other: StepFactors, share: float) -> StepFactors:
        """Part of the way to other factors; 0 is these, 1 those."""
        def mixed(name: str) -> float:
            mine: float = getattr(self, name)
            return mine + share * float(getattr(other, name) - mine)

        return dataclasses.replace(self, prompts=mixed("prompts"), decode=mixed("decode"),
                                   outside=mixed("outside"))


def scaled(table: StepTable, factor: float) -> StepTable:
    """Step times times a factor."""
    grids = {name: dataclasses.replace(getattr(table, name),
                                       values=getattr(table, name).values * factor)
             for name in ("tokens", "prefill", "decode", "logits")}
    if table.mixed is not None:
        grids["mixed"] = dataclasses.replace(table.mixed, values=table.mixed.values * factor)
    return dataclasses.replace(table, fixed=table.fixed * factor, **grids)


@functools.lru_cache(maxsize=256)
def step_factors(replica: Deployed, concurrency: int, prompt: int, output: int) -> StepFactors:
    """Factors at which a closed loop on the replica has the engine layer's means.

    Args:
        replica: what serves.
        concurrency: requests in flight.
        prompt, output: mean tokens of a request.
    """
    if replica.deployment.engine in STREAMED:
        return _streamed(replica, concurrency, prompt, output)
    # Lengths spread below the nominal ones: aim their mean at what was asked.
    stretch = 2 / (1 + STEADY.shortest)
    prompt, output = max(1, round(prompt * stretch)), max(1, round(output * stretch))
    goal = latency(Pools(replica), STEADY, concurrency=concurrency, prompt=prompt,
                   output=output)
    solved = _solved(replica, goal, concurrency, prompt, output)
    return dataclasses.replace(solved, prompt_spread=_ends(goal.ttft_spread),
                               decode_spread=_ends(goal.tpot_spread))


def _streamed(replica: Deployed, concurrency: int, prompt: int, output: int) -> StepFactors:
    """Of engines whose rates are measured directly: one prompt alone, one step of the batch."""
    rates = single_stream_rates(
        replica.architecture, replica.cluster.chip, quant=replica.formats.dense.name,
        engine=replica.deployment.engine, prompt_tokens=float(prompt),
        gen_tokens=float(max(output, 1)), batch=float(concurrency),
        n_devices=replica.deployment.chips_per_replica)
    table, least = replica.table, _least(replica, prompt, output, concurrency)
    alone = float(table.seconds(prefill_tokens=prompt, finished=1.0))
    step = float(table.seconds(sequences=concurrency, context=prompt + output / 2))
    spreads = [(rate.value / rate.high, rate.value / rate.low)
               for rate in (rates.prompt, rates.generation)]
    if replica.deployment.engine in replica.cluster.chip.kernels:
        # The table holds steps measured on this machine; a prompt spares some of its last layer.
        return StepFactors(min(1.0, prompt / rates.prompt.value / alone), 1.0, 0.0, *spreads)
    return StepFactors(max(prompt / rates.prompt.value / alone, least[0]),
                       max(concurrency / rates.generation.value / step, least[1]), 0.0, *spreads)


def _solved(replica: Deployed, goal: Latency, concurrency: int, prompt: int, output: int
            ) -> StepFactors:
    """The two factors, by repeated proportion: TTFT follows prompts, TPOT decoding.

    The engine layer's TTFT is a correction of (time outside + replayed wait): the same correction
    goes for both parts.
    """
    requests = _wave(concurrency, prompt, output)
    # The replay that the engine layer was fitted with sets whole requests' blocks aside, and
    # launches servers for as many sequences as the load has.
    policy = dataclasses.replace(replica.policy, max_num_seqs=max(1, concurrency))
    rules = Scheduler.of_policy(policy)
    least = _least(replica, prompt, output, concurrency)
    prompts, decode = 1.0, 1.0
    rules = dataclasses.replace(engine_scheduler(replica, rules), max_num_seqs=max(1, concurrency))
    if rules.kv_blocks is not None:
        rules = dataclasses.replace(rules, kv_blocks=max(
            rules.kv_blocks, int((requests.prompt + requests.output).max())))
    plain = dataclasses.replace(rules, overlap=False)
    at_once = float(_run(replica, requests, plain, concurrency, prompts, decode).ttft.mean())
    run = _run(replica, requests, rules, concurrency, prompts, decode)
    around = replica.outside(prompt) + first_steps(STEADY) * goal.tpot
    outside = goal.ttft * around / (around + at_once)
    # The time outside holds the steps that an engine runs behind, which the simulator spends
    # inside the steps.
    outside = max(0.0, outside - max(0.0, float(run.ttft.mean()) - at_once))
    wait = goal.ttft - outside
    for _ in range(_ROUNDS):
        wrong = wait / float(run.ttft.mean()), 1.0
        prompts = max(prompts * wrong[0], least[0])
        if not len(run.tpot):           # single tokens: nothing to tell decoding from
            return StepFactors(prompts, prompts, outside)
        wrong = wrong[0], goal.tpot / float(run.tpot.mean())
        decode = max(min(max(decode * wrong[1], prompts / _APART), prompts * _APART), least[1])
        if max(abs(w - 1) for w in wrong) < _CLOSE:
            break
        run = _run(replica, requests, rules, concurrency, prompts, decode)
    if decode <= max(least[1], prompts / _APART) and float(run.tpot.mean()) > goal.tpot:
        # So slow prompts would hold decoding up for longer than is seen: part of the wait for a
        # first token must then be spent outside the steps.
        for _ in range(_ROUNDS):
            prompts = max(prompts * goal.tpot / float(run.tpot.mean()), least[0])
            run = _run(replica, requests, rules, concurrency, prompts, decode)
        outside = max(outside, goal.ttft - float(run.ttft.mean()))
    return StepFactors(prompts, decode, outside)


def _wave(concurrency: int, prompt: int, output: int) -> Requests:
    """The same requests as the engine layer's replay of a plain question."""
    count = min(STEADY.waves * concurrency, max(STEADY.most, 3 * concurrency))
    return closed_loop_requests(protocol_lengths(prompt, count, STEADY.shortest),
                                protocol_lengths(output, count, STEADY.shortest)[::-1])


def _run(replica: Deployed, requests: Requests, rules: Scheduler, concurrency: int,
         prompts: float, decode: float) -> Run:
    return simulate_replica(scaled(replica.table, decode), requests,
                            dataclasses.replace(rules, prompt_factor=prompts / decode),
                            concurrency=concurrency)


def _least(replica: Deployed, prompt: int, output: int, concurrency: int) -> tuple[float, float]:
    """Factors at which the steps meet their physical floor."""
    table, context = replica.table, prompt + output / 2
    lone = prefill_step(tokens=float(prompt), past=0.0)
    batch = decode_step(sequences=float(concurrency), context=context)
    taken = (table.seconds(prefill_tokens=prompt, finished=1.0),
             table.seconds(sequences=concurrency, context=context))
    floors = [float(step_bounds(replica.ops(step), replica.cluster).lower)
              for step in (lone, batch)]
    return floors[0] / float(taken[0]), floors[1] / float(taken[1])


def _ends(spread: tuple[float, float, float, float]) -> tuple[float, float]:
    return math.exp(spread[1]), math.exp(spread[2])
