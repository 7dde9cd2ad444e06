"""What a rack does with a model: copper against optics, memory pools, all-to-all across racks."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from ridgeline.catalog.racks import FabricEntry, RackEntry, load_fabrics
from ridgeline.deployment import Deployment
from ridgeline.economics import domain_limits
from ridgeline.errors import BadInput, Infeasible
from ridgeline.machine import Chip, Link
from ridgeline.quantity import Quantity
from ridgeline.questions.answer import Cell, Table, Value
from ridgeline.questions.fit import shortfall
from ridgeline.questions.fleet_pools import Sizes, model_sizes
from ridgeline.questions.resolve import Resolved, resolve
from ridgeline.questions.textbook import whole_model
from ridgeline.scenario import Scenario
from ridgeline.serving.deployed import Deployed
from ridgeline.timing.roofline import step_bounds
from ridgeline.timing.textbook import decode_bytes, latency_floor
from ridgeline.work.communication_volume import (
    domain_memory_bytes,
    expert_parallel_bytes_per_token,
    expert_parallel_time,
    leaving_domain_share,
)
from ridgeline.work.op import Op
from ridgeline.work.step import decode_step

__all__ = ["network"]

Drawn = tuple[dict[str, Value], list[Table], list[str]]
_BYTES = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5, "nvfp4": 0.5625}
# Hops of the longest message of a collective: there and back through a switch.
_HOPS = {"all_reduce": 2.0}


@dataclass(frozen=True)
class _Run:
    """A known model in the rack."""

    resolved: Resolved
    replica: Deployed
    ops: tuple[Op, ...]
    ideal: bool

    def seconds(self, link: Link) -> float:
        """A decode step with another scale-up link, its added latency not yet counted."""
        cluster = dataclasses.replace(self.resolved.cluster, scale_up=link)
        if self.ideal:
            bounds = step_bounds(self.ops, cluster)
            return float(max(bounds.compute, bounds.memory) + bounds.network)
        other = dataclasses.replace(self.replica, cluster=cluster)
        return float(other.timer(self.ops)) + self.replica.costs.fixed(
            self.resolved.architecture)

    @property
    def messages(self) -> float:
        """Collectives of a step, each counted as often as its longest message crosses a link."""
        return sum(float(op.repeats) * _HOPS.get(op.labels["collective"], 1.0)
                   for op in self.ops if op.kind == "collective")


def network(ask: Any, entry: RackEntry, chip: Chip, chips: int) -> Drawn:
    """Quantities, tables and notes of a model in the rack.

    Args:
        ask: a RackAsk with a model.
        entry, chip, chips: the rack as it is asked for.

    Raises:
        BadInput: an unknown name or format.
        Infeasible: the model does not fit (not with `ideal`).
    """
    sizes = model_sizes(ask.model)
    run = _run(ask, sizes, chip, chips) if sizes.known else None
    out, read = _sizes(ask, sizes, chip, chips, run)
    tables = [_fabrics(ask, chip, chips, run), _pool(ask, chip, chips, read)]
    notes = ["Fabrics: power of one direction at full rate; optics at the copper's bandwidth "
             "unless --optical-bandwidth says otherwise; latency over the copper that times were "
             "measured on."]
    if run is not None:
        tables.append(_all_to_all(ask, chip, run))
        used = run.resolved.deployment.chips_per_replica
        if used < chips:
            notes.append(f"{used} of the {chips} chips share this model evenly.")
    return out, tables, notes


def _run(ask: Any, sizes: Sizes, chip: Chip, chips: int) -> _Run:
    """The model laid over the domain: experts over as many chips as divide them evenly."""
    from ridgeline.model.load import load_architecture

    architecture = load_architecture(sizes.name)
    routed = [ffn for ffn, _ in architecture.mixtures]
    fields: dict[str, Any] = {
        "model": sizes.name, "prompt": max(1, round(ask.context) - 1), "output": 1,
        "context": max(2, round(ask.context)), "concurrency": max(1, round(ask.batch)),
        "weights": ask.weights, "machine": f"{chips}x{chip.name}"}
    if routed:
        share = next(n for n in range(chips, 0, -1)
                     if routed[0].n_experts % n == 0 and n & (n - 1) == 0)
        fields |= {"machine": f"{share}x{chip.name}", "attention_dp": share, "ep": share}
    resolved = resolve(Scenario.from_fields({k: v for k, v in fields.items() if v is not None}))
    short = shortfall(resolved)
    if short and not ask.ideal:
        raise Infeasible(short)
    replica = Deployed(resolved.architecture, resolved.deployment, resolved.cluster,
                       resolved.formats, max(2, round(ask.context)))
    # The domain is the rack's, whatever the chip's own says.
    cluster = dataclasses.replace(resolved.cluster, domain_size=max(
        resolved.cluster.domain_size, resolved.deployment.chips_per_replica))
    replica = dataclasses.replace(replica, cluster=cluster)
    resolved = dataclasses.replace(resolved, cluster=cluster)
    batch = ask.batch / resolved.deployment.dp
    ops = replica.ops(decode_step(sequences=max(1.0, batch), context=float(ask.context)))
    return _Run(resolved, replica, ops, ask.ideal)


def _sizes(ask: Any, sizes: Sizes, chip: Chip, chips: int, run: _Run | None
           ) -> tuple[dict[str, Value], float]:
    """The largest model that fits, and the bytes a step reads."""
    if run is None:
        form = ask.weights or "fp8"
        if form not in _BYTES:
            raise BadInput(f"weights {form!r}: sizes are counted in {', '.join(_BYTES)}")
        each, read = _BYTES[form], _BYTES[form] * sizes.total
    else:
        model, batch = whole_model(run.resolved), ask.batch / run.resolved.deployment.dp
        each = model.params_bytes / model.total_params
        kv = float(run.resolved.architecture.cache_bytes(
            float(ask.context), kv_bits=run.resolved.formats.kv.bytes * 8)) / ask.context
        read = float(decode_bytes(
            params_read=model.params_read(batch),
            bytes_per_param=model.read_bytes_per_param(batch), batch_size=batch,
            context_length=float(ask.context), kv_bytes_per_token=kv))
    room = float(domain_memory_bytes(n_chips=float(chips), memory_bytes=chip.memory_bytes))
    floor = latency_floor(params_read=read, bytes_per_param=1.0, n_chips=float(chips),
                          memory_bandwidth=chip.memory_bandwidth)
    weights = each * sizes.total
    if weights > room and not ask.ideal:
        raise Infeasible(f"{sizes.name} needs {weights / 1e12:.3g} TB and the {chips} chips have "
                         f"{room / 1e12:.3g} TB")
    return {"largest_model_params": Quantity.exact(room / each, "param"),
            "memory_share_of_weights": Quantity.exact(weights / room, "1"),
            "step_floor_s": Quantity.exact(float(floor), "s")}, read


def _fabrics(ask: Any, chip: Chip, chips: int, run: _Run | None) -> Table:
    """Energy, latency and the decode step over each way to carry the links."""
    link = chip.scale_up
    if link is None:
        raise BadInput(f"{chip.name} has no scale-up link in the catalog")
    rows: list[list[Cell]] = []
    base = None if run is None else run.seconds(link)
    for fabric in load_fabrics():
        optical = fabric.latency > 0
        rate = (ask.optical_bandwidth or link.bandwidth) if optical else link.bandwidth
        each = float(domain_limits.link_power(network_bandwidth=rate,
                                              joules_per_bit=_joules(fabric)))
        added = _added_latency(fabric, ask.cable_length)
        step = None if run is None else run.messages * added + run.seconds(
            Link(fabric.name, rate, link.latency))
        rows.append([fabric.name, _joules(fabric) * 1e12, rate, each, each * chips, added, step,
                     None if step is None or not base else step / base])
    return Table.of("fabrics", {"fabric": "1", "pJ/bit": "1", "a chip": "B/s", "power": "W",
                                "the rack": "W", "added latency": "s", "decode step": "s",
                                "to copper": "x"}, rows,
                    title=f"Links of a domain, one way; optics of {ask.cable_length:g} m")


def _joules(fabric: FabricEntry) -> float:
    return math.sqrt(fabric.pj_per_bit_low * fabric.pj_per_bit_high) * 1e-12


def _added_latency(fabric: FabricEntry, length: float) -> float:
    """Over the copper that the calibrated times were measured on."""
    if fabric.latency == 0:
        return 0.0
    return float(domain_limits.fibre_latency(cable_length=min(length, fabric.reach),
                                             port_latency=fabric.latency))


def _pool(ask: Any, chip: Chip, chips: int, read: float) -> Table:
    """The step when part of its bytes comes from a pool."""
    rows: list[list[Cell]] = []
    plain = read / (chips * chip.memory_bandwidth)
    for share in sorted({0.05, 0.1, 0.2, 0.4, ask.pool_share}):
        step = float(domain_limits.pool_step_time(
            step_bytes=read, pool_share=share, memory_bandwidth=chip.memory_bandwidth,
            pool_bandwidth=ask.pool_bandwidth, n_chips=float(chips)))
        even = float(domain_limits.break_even_pool_bandwidth(
            pool_share=share, memory_bandwidth=chip.memory_bandwidth))
        rows.append([share, step, step / plain, even])
    return Table.of("pool", {"share in pool": "1", "step floor": "s", "against all local": "x",
                             "break-even a chip": "B/s"}, rows,
                    title=f"Memory pool at {ask.pool_bandwidth / 1e9:,.4g} GB/s a chip")


def _all_to_all(ask: Any, chip: Chip, run: _Run) -> Table:
    """Dispatch and combine of a step, in one rack and across several."""
    architecture = run.resolved.architecture
    routed = architecture.mixtures
    names = {"racks": "1", "share leaving": "1", "in the rack": "s", "across": "s", "both": "s",
             "against one": "x", "one optical domain": "s"}
    if not routed or chip.scale_up is None or chip.scale_out is None:
        return Table.of("all_to_all", names, ())
    layers = float(sum(n for _, n in routed))
    each = float(expert_parallel_bytes_per_token(
        n_moe_layers=layers, top_k=float(routed[0][0].top_k), d_model=float(architecture.d_model),
        bytes_dispatch=1.0, bytes_combine=2.0))
    plan: Deployment = run.resolved.deployment
    tokens = ask.batch / plan.dp / plan.chips_per_replica
    rows: list[list[Cell]] = []
    first = None
    for racks in sorted({1, 2, 4, ask.racks}):
        leaving = float(leaving_domain_share(n_domains=float(racks)))
        inside, across = (float(expert_parallel_time(
            bytes_per_token=each, tokens_per_chip=tokens, network_bandwidth=link.bandwidth,
            traffic_share=share)) for link, share in (
                (chip.scale_up, 1 - leaving), (chip.scale_out, leaving)))
        first = first or max(inside, across)
        joined = float(expert_parallel_time(
            bytes_per_token=each, tokens_per_chip=tokens,
            network_bandwidth=ask.optical_bandwidth or chip.scale_up.bandwidth))
        rows.append([racks, leaving, inside, across, max(inside, across),
                     max(inside, across) / first, joined])
    return Table.of("all_to_all", names, rows,
                    title=f"Expert exchange of a step, {tokens:,.3g} tokens a chip, fp8 out and "
                          "bf16 back, bandwidth alone")
