"""Time to first token and time per output token of a deployment under a closed loop."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.serving.closed_loop import Policy
from ridgeline.serving.deployed import Deployed
from ridgeline.serving.disaggregated import closed_pools
from ridgeline.serving.measured_run import Protocol, replay_protocol
from ridgeline.timing.adjust import ServingCase, architecture_class, correction
from ridgeline.timing.engine import BEHIND, FIXED, EngineCosts, engine_content
from ridgeline.timing.step_table import ComponentTable, Grid, StepTable
from ridgeline.timing.step_time import StepTimer
from ridgeline.work.op import Op

__all__ = [
    "COMPONENTS",
    "Latency",
    "Pools",
    "bundled",
    "case_of",
    "component_table",
    "first_steps",
    "latency",
    "learned",
    "raw_latency",
]

KINDS = ("matmul", "grouped_matmul", "attention", "scan", "elementwise", "gather", "collective")
# Columns of a time split into components: kernels by kind, then the engine's fixed costs.
COMPONENTS = (*KINDS, *FIXED)


@dataclass(frozen=True)
class Latency:
    """Predicted means of a request, with quantiles 2.5, 10, 90, 97.5 % of log(real / predicted)."""

    ttft: float
    tpot: float
    ttft_spread: tuple[float, float, float, float]
    tpot_spread: tuple[float, float, float, float]
    duration: float = 0.0
    output_tokens: int = 0


@dataclass(frozen=True)
class Pools:
    """What serves: one pool of equal replicas, or prefill and decode apart.

    Attributes:
        decode: one replica, of the pool that decodes where there are two.
        apart: one replica of the pool that prefills; None where one pool does both.
        decode_workers, prefill_workers: replicas of each.
    """

    decode: Deployed
    apart: Deployed | None = None
    decode_workers: int = 1
    prefill_workers: int = 1

    @property
    def prefill(self) -> Deployed:
        """One replica of those that prefill."""
        return self.apart or self.decode


def case_of(pools: Pools, *, protocol: str, concurrency: float, prompt: float, output: float,
            speculation: str = "") -> ServingCase:
    """The kind of deployment, for the learned correction."""
    replica = pools.decode
    plan, architecture, chip = replica.deployment, replica.architecture, replica.cluster.chip
    spread = "dp" if plan.attention_dp > 1 else ""
    layout = "+".join(p for p in (spread, "ep" if plan.ep > 1 else "") if p) or "tp"
    return ServingCase(
        engine=plan.engine, version=plan.engine_version, model=architecture.name,
        model_class=architecture_class(architecture), chip=chip.name,
        speculation=speculation,
        weights=replica.formats.experts.name, mode="disagg" if pools.apart else "agg",
        layout=layout, protocol=protocol,
        concurrency=concurrency / pools.decode_workers, prompt=prompt, output=output,
        chips=float(plan.chips_per_replica))


def component_table(replica: Deployed) -> ComponentTable:
    """Step times split into kernels by kind and unit costs of the engine."""
    bare = StepTimer(replica.cluster, replica.deployment, EngineCosts())
    parts = [replica.tabulated(_only(kind, bare)) for kind in KINDS]
    return ComponentTable(tuple(replica.stepped(part) for part in (*parts, *_unit_costs(replica))))


def _only(kind: str, timer: StepTimer) -> Callable[[Sequence[Op]], Any]:
    return lambda ops: timer([op for op in ops if op.kind == kind])


def _unit_costs(replica: Deployed) -> tuple[StepTable, ...]:
    """Tables of one second a step, layer, mixture, sequence and prompt token, as in FIXED."""
    architecture, copies = replica.architecture, replica.deployment.attention_dp
    mixtures = float(sum(count for _, count in architecture.mixtures))
    ends, flat = np.array([1.0, 2.0]), np.zeros(1)
    none = Grid(ends, flat, np.zeros((2, 1)))
    nothing = Grid(ends, ends - 1, np.zeros((2, 2)))
    prompt = Grid(ends, ends - 1, np.array([[1.0, 1.0], [2.0, 2.0]]))
    sequences = Grid(ends, ends - 1, prompt.values / copies)
    return (StepTable(none, nothing, nothing, none, 1.0),
            StepTable(none, nothing, nothing, none, float(architecture.n_layers)),
            StepTable(none, nothing, nothing, none, mixtures),
            StepTable(none, nothing, sequences, none), StepTable(none, prompt, nothing, none))


def raw_latency(pools: Pools, tables: tuple[Any, Any], protocol: Protocol, *, concurrency: int,
                prompt: int, output: int) -> tuple[Any, Any, Any, int]:
    """(tpot, wait for the first token, duration, tokens) of the replay, before corrections.

    With component tables, times are vectors.

    Args:
        pools: what serves.
        tables: step tables of the decode and of the prefill replica.
        protocol: of the load.
        concurrency: requests in flight in all.
        prompt, output: nominal tokens.
    """
    decode, prefill = tables
    if not pools.apart:
        share = max(1, round(concurrency / pools.decode_workers))
        run = replay_protocol(decode, protocol, concurrency=share, prompt=prompt, output=output,
                              policy=_policy(pools.decode),
                              together=_together(pools.decode, decode))
        return run.mean_tpot, run.mean_ttft, run.duration, run.output_tokens
    mean = (1 + protocol.shortest) / 2
    found = closed_pools(prefill, decode, concurrency=concurrency, prompt=round(prompt * mean),
                         output=max(1, round(output * mean)),
                         prefill_workers=pools.prefill_workers,
                         decode_workers=pools.decode_workers, waves=protocol.waves,
                         copies=pools.prefill.deployment.attention_dp,
                         budget=pools.prefill.policy.token_budget)
    return found.tpot, found.prefill * found.waiting, 0.0, 0


def _together(replica: Deployed, table: Any) -> Callable[[float], Any]:
    """Of a table's time by tokens, what the attention copies of a replica do together [s]."""
    if replica.deployment.attention_dp == 1:
        return lambda _: 0.0
    if isinstance(table, ComponentTable):
        at = COMPONENTS.index("grouped_matmul")
        experts, unit = table.parts[at].tokens, np.eye(len(COMPONENTS))[at]
        return lambda tokens: unit * experts(tokens)
    return replica.shared


def _policy(replica: Deployed) -> Policy:
    """The replica's policy, without a limit on sequences that nobody asked for.

    Benchmarks raise it to their load.
    """
    if replica.deployment.max_num_seqs:
        return replica.policy
    return dataclasses.replace(replica.policy, max_num_seqs=1 << 20)


def latency(pools: Pools, protocol: Protocol, *, concurrency: int, prompt: int, output: int,
            protocol_name: str = "", speculation: str = "") -> Latency:
    """Corrected times of a deployment with their spreads.

    Args:
        pools: what serves.
        protocol: of the load.
        concurrency: requests in flight in all.
        prompt, output: nominal tokens of a request.
        protocol_name: of a measured table, "" for a plain question.
        speculation: "mtp" where the model's own heads draft tokens.
    """
    tables = (pools.decode.table, pools.prefill.table)
    tpot, wait, duration, tokens = raw_latency(pools, tables, protocol, concurrency=concurrency,
                                               prompt=prompt, output=output)
    case = case_of(pools, protocol=protocol_name, concurrency=concurrency, prompt=prompt,
                   output=output, speculation=speculation)
    return corrected(case, pools.prefill.outside(prompt, protocol.graphs), protocol, float(tpot),
                     float(wait), float(duration), tokens)



def learned(metric: str, case: ServingCase) -> Mapping[str, Mapping[str, Any]]:
    """Weights of a correction ("tpot", "ttft"): all of them where model and chip were measured
    together, else those of wide kinds alone."""
    content = engine_content()
    weights: Mapping[str, Mapping[str, Any]] = (
        content[metric] if case.pair in content["pairs"] else content[f"{metric}_new"])
    return weights


def first_steps(protocol: Protocol) -> float:
    """Decode steps between a request's arrival and its first message, beside those of its prompt.

    Those the engine runs behind; half of those between its looks at new requests; and those that
    gather the rest of a first message.
    """
    return BEHIND + max(protocol.stream - 1, 0) + protocol.poll / 2


def bundled(protocol: Protocol, output: float) -> float:
    """Time per output token as clients see it over that of a decode step.

    They count from the first message on, which already brings `stream` tokens:
    (n - stream) / (n - 1), for mean n.
    """
    n = max(output / protocol.stretch(protocol.output_law), 2.0)
    first = min(max(protocol.stream, 1), n / 2)
    return (n - first) / (n - 1)


def corrected(case: ServingCase, outside: float, protocol: Protocol, tpot: float, wait: float,
              duration: float = 0.0, tokens: int = 0) -> Latency:
    """Apply the engine's first-token costs and the learned corrections to a replay.

    Args:
        case: what kind of deployment.
        outside: time of a request before its first token, beside the steps [s].
        protocol: of the load.
        tpot, wait, duration, tokens: of the replay.
    """
    content = engine_content()
    factor = math.exp(correction(learned("tpot", case), case))
    decode = tpot * factor
    first = outside + wait + first_steps(protocol) * decode
    first *= math.exp(correction(learned("ttft", case), case))
    decode *= bundled(protocol, case.output)
    return Latency(first, decode, _spread(content, "ttft", case), _spread(content, "tpot", case),
                   duration * factor, tokens)


def _spread(content: Mapping[str, Any], metric: str, case: ServingCase
            ) -> tuple[float, float, float, float]:
    """Interval widths, by how much of the case was ever measured."""
    known = case.model in content["models"]
    kind = "seen" if case.pair in content["pairs"] else "new_chip" if known else "new_model"
    table = content["spreads"][metric]
    own = f"{kind}|{case.protocol}"
    low, lower, upper, high = table.get(own, table[kind])
    return low, lower, upper, high

