"""Time to send tokens to their experts and bring the results back (DeepEP dispatch, combine).

Expected copies of a token. Its k experts are spread evenly over n ranks, so it needs

    distinct(n, k) = n (1 - (1 - 1/n)^k)

of them. The normal kernels send one copy a rank over the scale-up link and one a node over the
network; the low-latency kernels send all k copies.

    V_link = tokens * d * hidden * bits / 8 * share of peers elsewhere
    t = launch + hop * log2(nodes) + per_token * tokens + max(V_link / b_link, V_net / b_net)
    b_link = min(link_fraction * B_link, sm_rate * sms)      (sms: normal kernels only)

bent by a bounded learned correction (`residual`) and never below the bytes over the bandwidth.

Sources: own derivation; constants fitted to DeepEP timings published with NVIDIA AIConfigurator.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ridgeline.errors import BadInput, UnknownName
from ridgeline.machine.chip import Chip, Link
from ridgeline.numeric import Numeric, log2, maximum, minimum
from ridgeline.timing.kernels.residual import Residual, Spread
from ridgeline.timing.kernels.result import Distance, KernelTime
from ridgeline.timing.kernels.store import calibration_name, family_of

Array = NDArray[np.floating[Any]]
MODES = ("normal", "low_latency")
PHASES = ("dispatch", "combine")
DEFAULT_SMS = 20
"""Multiprocessors DeepEP's normal kernels take unless told otherwise."""


def distinct(*, places: Numeric, top_k: Numeric) -> Numeric:
    """Places out of n that hold at least one of k experts, on average [1].

        n (1 - (1 - 1/n)^k)

    >>> round(distinct(places=8, top_k=8), 3)
    5.251
    """
    return places * (1 - (1 - 1 / places) ** top_k)


def exchanged_bytes(*, mode: str, tokens: Numeric, hidden: Numeric, top_k: Numeric,
                    group: Numeric, nodes: Numeric, bits: Numeric) -> tuple[Numeric, Numeric]:
    """Bytes a rank sends over the scale-up link and over the network [bytes].

    Args:
        mode: "normal" or "low_latency".
        tokens: held by one rank; hidden: width; top_k: experts of a token; bits: of one element.
        group: ranks; nodes: domains they span.
    """
    token = tokens * hidden * bits / 8
    if mode == "low_latency":
        return token * top_k * (group / nodes - 1) / group, token * top_k * (nodes - 1) / nodes
    inside = token * distinct(places=group, top_k=top_k) * (group - 1) / group
    return inside, token * distinct(places=nodes, top_k=top_k) * (nodes - 1) / nodes


def exchange_seconds(*, mode: str, tokens: Numeric, nodes: Numeric, link_bytes: Numeric,
                     network_bytes: Numeric, sms: Numeric, link_bandwidth: Numeric,
                     network_bandwidth: Numeric, p: Mapping[str, float]) -> Numeric:
    """The closed form of the module's head [s].

    Args:
        p: launch, hop, per_token [s]; link_fraction, net_fraction [1]; sm_rate [bytes/s].
    """
    speed = p["link_fraction"] * link_bandwidth
    if mode == "normal":
        speed = minimum(speed, p["sm_rate"] * sms)
    moved = maximum(link_bytes / speed, network_bytes / (p["net_fraction"] * network_bandwidth))
    return p["launch"] + p["hop"] * log2(nodes) + p["per_token"] * tokens + moved


def features(case: Mapping[str, Array]) -> Array:
    """What the learned correction sees, shape (N, 8)."""
    names = ("tokens", "hidden", "top_k", "experts", "sms", "group", "nodes")
    columns = [np.log2(np.maximum(case[n], 1e-9)) for n in names]
    columns.append(np.log2(case["form"] / case["launch"]))
    return np.stack(columns, axis=-1)


@dataclass(frozen=True)
class Exchange:
    """Constants of one mode and phase where they were found."""

    constants: Mapping[str, float]
    residual: Residual | None
    spread: Spread
    distance: Distance


def find_exchange(content: Mapping[str, Any], chip: str, architecture: str, mode: str,
                  phase: str) -> Exchange:
    """Constants of a chip, its architecture, or all chips, with the interval of that distance.

    Raises:
        BadInput: a calibration without this mode and phase.
    """
    table = content["exchange"]
    targets: tuple[tuple[str, Distance], ...] = (
        (calibration_name(chip), "table"), (family_of(architecture), "architecture"),
        ("*", "pooled"))
    for target, distance in targets:
        found = table["constants"].get(f"{target}|{mode}|{phase}")
        if found is not None:
            net = table["residuals"].get(f"{mode}|{phase}")
            spread = table["spreads"][f"{mode}|{distance}"]
            return Exchange(found, Residual.from_json(net) if net else None,
                            Spread.from_json(spread), distance)
    raise BadInput(f"no constants for {mode} {phase} in this calibration")


def phase_seconds(found: Exchange, mode: str, case: Mapping[str, Array], link: Link,
                  network: Link | None) -> Array:
    """One phase of one mode for arrays of cases [s]."""
    inside, across = exchanged_bytes(mode=mode, tokens=case["tokens"], hidden=case["hidden"],
                                     top_k=case["top_k"], group=case["group"],
                                     nodes=case["nodes"], bits=case["bits"])
    speed = network.bandwidth if network else np.inf
    form = np.asarray(exchange_seconds(
        mode=mode, tokens=case["tokens"], nodes=case["nodes"], link_bytes=inside,
        network_bytes=across, sms=case["sms"], link_bandwidth=link.bandwidth,
        network_bandwidth=speed, p=found.constants))
    seconds = form
    if found.residual is not None:
        seen = features({**case, "form": form, "launch": np.asarray(found.constants["launch"])})
        seconds = form * np.exp(found.residual(seen))
    floor = np.maximum(np.asarray(inside) / link.bandwidth, np.asarray(across) / speed)
    return np.where(case["group"] > 1, np.maximum(seconds, floor), 0.0)


def expert_all_to_all_time(chip: Chip, *, tokens: ArrayLike, hidden: ArrayLike,
                           top_k: ArrayLike, experts: ArrayLike, group: ArrayLike,
                           nodes: ArrayLike = 1, mode: str = "normal",
                           bits_dispatch: float = 8.0, bits_combine: float = 16.0,
                           phase: Literal["both", "dispatch", "combine"] = "both",
                           sms: ArrayLike = DEFAULT_SMS, link: Link | None = None,
                           cross_domain_link: Link | None = None,
                           content: Mapping[str, Any] | None = None) -> KernelTime:
    """Time to dispatch the tokens of every rank to their experts and combine the results.

    The formula is at the head of the module. The time is that of the data phase; the short
    exchange of counts that precedes it in the normal mode is not included.

    Args:
        chip: every rank's device.
        tokens: held by one rank [1]; hidden: width [1]; top_k, experts: routing [1].
        group: ranks that share the experts; nodes: domains they span [1].
        mode: "normal" (prefill, training) or "low_latency" (decode).
        bits_dispatch, bits_combine: of one element sent [bit]; measured with 8 and 16.
        phase: "dispatch", "combine", or "both" for their sum.
        sms: multiprocessors given to the normal kernels [1].
        link, cross_domain_link: instead of the chip's own.
        content: constants to use instead of the shipped ones.
    Returns:
        seconds with intervals, in the broadcast shape of the arguments.
    Raises:
        BadInput: a size out of range, or a link that the chip lacks.
        UnknownName: unknown mode or phase.
    Valid for: even routing; groups of 4 to 64 ranks over 1 to 8 nodes as measured.
    Sources: as the module.
    """
    if mode not in MODES:
        raise UnknownName.among("exchange mode", mode, MODES)
    if phase not in (*PHASES, "both"):
        raise UnknownName.among("exchange phase", phase, (*PHASES, "both"))
    case, shape = _cases(tokens=tokens, hidden=hidden, top_k=top_k, experts=experts, group=group,
                         nodes=nodes, sms=sms)
    inside, outside = _links(chip, link, cross_domain_link, case)
    total, spread = np.zeros(len(case["tokens"])), np.zeros((1, 4))
    distance: Distance = "table"
    wanted = PHASES if phase == "both" else (phase,)
    for one in wanted:
        bits = bits_dispatch if one == "dispatch" else bits_combine
        found = (find_exchange(content, chip.name, chip.architecture, mode, one) if content
                 else _shipped_exchange(chip.name, chip.architecture, mode, one))
        part = phase_seconds(found, mode, {**case, "bits": np.asarray(bits)}, inside, outside)
        # Widths of a sum of two like terms: their errors go together, so the wider one stands.
        wide = found.spread(part)
        spread = np.concatenate([np.minimum(wide, spread)[:, :2],
                                 np.maximum(wide, spread)[:, 2:]], axis=1)
        total, distance = total + part, found.distance
    return KernelTime(total.reshape(shape), spread.reshape((*shape, 4)), distance)


@functools.cache
def _shipped_exchange(chip: str, architecture: str, mode: str, phase: str) -> Exchange:
    from ridgeline.timing.kernels.collective import shipped

    return find_exchange(shipped(), chip, architecture, mode, phase)


def _cases(**sizes: ArrayLike) -> tuple[dict[str, Array], tuple[int, ...]]:
    """The arguments broadcast together and flattened.

    Raises:
        BadInput: a size that is not finite or below its least.
    """
    arrays = np.broadcast_arrays(*(np.asarray(v, float) for v in sizes.values()))
    case = {name: a.ravel() for name, a in zip(sizes, arrays, strict=True)}
    for name, values in case.items():
        least = 0.0 if name == "tokens" else 1.0
        if not (np.isfinite(values).all() and (values >= least).all()):
            raise BadInput(f"{name} must be {least:g} or more, not {np.min(values):g}")
    if (case["group"] < case["nodes"]).any():
        raise BadInput("a group cannot span more nodes than it has ranks")
    return case, arrays[0].shape


def _links(chip: Chip, link: Link | None, network: Link | None,
           case: Mapping[str, Array]) -> tuple[Link, Link | None]:
    inside, outside = link or chip.scale_up, network or chip.scale_out
    if inside is None:
        raise BadInput(f"{chip.name} has no scale-up link in the catalog")
    if outside is None and (case["nodes"] > 1).any():
        raise BadInput(f"{chip.name} has no network link in the catalog")
    return inside, outside
