"""Time of collectives between the devices of a group, inside a domain and across domains.

A time is the closed form of `collective_forms` with constants fitted per chip and library version,
bent by the correction curve of the most alike measured cases (`collective_curves`), and never
below the bytes that must cross the link over its bandwidth. Chips without measurements take the
constants of their architecture, or of their kind of link, with the link's own bandwidth.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ridgeline.errors import BadInput, UnknownName
from ridgeline.machine.chip import Chip, Link
from ridgeline.timing.constants import constants_text
from ridgeline.timing.kernels import collective_forms as forms
from ridgeline.timing.kernels.collective_curves import Case, Curve, correction, evaluate
from ridgeline.timing.kernels.result import Distance, KernelTime
from ridgeline.timing.kernels.store import calibration_name, family_of

Array = NDArray[np.floating[Any]]
Content = Mapping[str, Any]

BACKENDS = ("nccl", "oneccl", "vllm", "vllm_eager", "sglang", "sglang_eager", "trtllm")
LIBRARIES = ("nccl", "oneccl")
"""General communication libraries; the other backends are an engine's own all-reduce, which
hands messages above its limit, and every other operation, to the library."""

SWITCH_GROUP = 8
"""Smallest group for which NCCL was seen to add up inside the switch."""


@dataclass(frozen=True)
class Fabric:
    """What the forms need to know of a machine.

    Attributes:
        chip: name the measurements use; architecture: its family.
        link: "nvlink" (any scale-up fabric) or "pcie"; bandwidth: [bytes/s].
        in_switch: whether the switch can add up an all-reduce.
        memory_bandwidth: [bytes/s].
    """

    chip: str
    architecture: str
    link: str
    bandwidth: float
    in_switch: bool
    memory_bandwidth: float


def fabric(chip: Chip, link: Link) -> Fabric:
    """The machine as the forms see it."""
    kind = "pcie" if "pci" in link.name.lower() else "nvlink"
    family = family_of(chip.architecture)
    switch = (kind == "nvlink" and chip.domain_size >= SWITCH_GROUP
              and family in ("Hopper", "Blackwell", "Rubin"))
    return Fabric(calibration_name(chip.name), family, kind, link.bandwidth, switch,
                  chip.memory_bandwidth)


@functools.cache
def shipped() -> Content:
    """The constants of collectives that this process uses.

    Raises:
        BadInput: the installation lacks the data file.
    """
    text = constants_text("collective.json")
    if text is None:
        raise BadInput("no constants for collectives in this installation")
    data: Content = json.loads(text)
    return data


def curves_of(content: Content) -> tuple[Curve, ...]:
    """The correction curves of a content."""
    return tuple(Curve(Case(*c["case"]), c["start"], tuple(c["values"]))
                 for c in content["curves"])


@functools.cache
def _shipped_curves() -> tuple[Curve, ...]:
    return curves_of(shipped())


@functools.lru_cache(maxsize=4096)
def _shipped_correction(case: Case) -> tuple[Array, bool]:
    """Blended curve of a case and whether it has one of its own; a sweep asks again and again."""
    curves = _shipped_curves()
    return correction(case, curves), any(case == c.case for c in curves)


def find_constants(table: Mapping[str, Mapping[str, float]], where: Fabric,
                   name: str) -> tuple[Mapping[str, float], Distance]:
    """Constants of a library or engine on this machine, or the nearest pooled ones.

    Keys are "<target>/<link>|<backend>|<version>" with the chip, the architecture or "*" as
    target; `name` is "<backend>|<version>", and falls back to the backend's newest version.

    Raises:
        UnknownName: a backend that was never measured.
    """
    backend = name.split("|")[0]
    other = "pcie" if where.link == "nvlink" else "nvlink"
    targets: tuple[tuple[str, Distance], ...] = (
        (f"{where.chip}/{where.link}", "table"),
        (f"{where.architecture}/{where.link}", "architecture"),
        (f"*/{where.link}", "pooled"), (f"*/{other}", "physics"))
    for target, distance in targets:
        if f"{target}|{name}" in table:
            return table[f"{target}|{name}"], distance
        versions = sorted((k for k in table if k.startswith(f"{target}|{backend}|")),
                          key=_version_order)
        if versions:
            return table[versions[-1]], distance
    if backend == "oneccl":  # not measured on this machine: rings are rings
        return find_constants(table, where, "nccl|")
    known = sorted({k.split("|")[1] for k in table})
    raise UnknownName.among("communication backend", backend, known)


def _version_order(key: str) -> tuple[int, ...]:
    """Newest last; a version without a number ("torch", unknown) counts as oldest."""
    digits = "".join(c if c.isdigit() else " " for c in key.rsplit("|", 1)[-1]).split()
    return tuple(int(d) for d in digits)


def library_seconds(where: Fabric, p: Mapping[str, float], op: str, bytes: Array,
                    group: Array) -> Array:
    """NCCL's or oneCCL's closed form inside a domain [s]."""
    q = dict(p)
    if op == "send_recv":
        # A pair's exchange without the copy to itself, which slows a real all-to-all: the link
        # runs as fast as in a ring.
        q["x_bulk_fraction"] = p["bulk_fraction"]
        pair = forms.exchange_time(bytes=2 * bytes, group=np.full_like(group, 2.0),
                                   bandwidth=where.bandwidth, p=q)
        return np.asarray(np.where(group > 1, pair, 0.0))
    if op == "all_to_all":
        return np.asarray(forms.exchange_time(bytes=bytes, group=group,
                                              bandwidth=where.bandwidth, p=q))
    time = forms.ring_time(op=op, bytes=bytes, group=group, bandwidth=where.bandwidth, p=q)
    if op == "all_reduce" and where.in_switch:
        switch = forms.switch_time(bytes=bytes, group=group, bandwidth=where.bandwidth, p=q)
        time = np.where(group >= SWITCH_GROUP, np.minimum(time, switch), time)
    return np.asarray(time)


def engine_seconds(where: Fabric, p: Mapping[str, float], library: Array, bytes: Array,
                   group: Array) -> Array:
    """An engine's own all-reduce, replayed from a graph, and the library above its limit [s].

    More than two cards without a direct link are left to the library at any size.
    """
    q = dict(p)
    own = forms.one_shot_time(bytes=bytes, group=group, bandwidth=where.bandwidth, p=q)
    reach = bytes * group if p["limit_is_of_group"] else bytes
    if not p["limit_is_of_group"]:
        two = forms.two_shot_time(bytes=bytes, group=group, bandwidth=where.bandwidth, p=q)
        own = np.minimum(own, np.where(group > 2, two, own))
    served = (reach <= p["limit"]) & ((group <= 2) | (where.link != "pcie"))
    return np.where(served, own, library)


def form_seconds(content: Content, where: Fabric, op: str, backend: str, version: str,
                 bytes: Array, group: Array) -> tuple[Array, Distance]:
    """The closed form of any backend inside a domain [s], and where its constants come from."""
    engine, _, launch = backend.partition("_")
    oneccl = f"{where.chip}/{where.link}|oneccl|" in content["libraries"]
    library = "oneccl" if oneccl else "nccl"
    name = f"{backend}|{version}" if backend in LIBRARIES else f"{library}|"
    constants, distance = find_constants(content["libraries"], where, name)
    seconds = library_seconds(where, constants, op, bytes, group)
    if backend in LIBRARIES or op != "all_reduce":
        return seconds, distance
    p, distance = find_constants(content["engines"], where, f"{engine}|")
    seconds = engine_seconds(where, p, seconds, bytes, group)
    if launch == "eager":
        seconds = np.asarray(forms.eager_time(
            graph=seconds, bytes=bytes, memory_bandwidth=where.memory_bandwidth,
            host_floor=p["host_floor"], copy_fraction=p["copy_fraction"]))
    return seconds, distance


def case_of(where: Fabric, op: str, backend: str, version: str, group: float,
            nodes: float = 1.0, network: str = "") -> Case:
    """The labels under which correction curves are compared.

    An operation that an engine hands to the library is the library's case.
    """
    engine, _, launch = backend.partition("_")
    if engine not in LIBRARIES and op != "all_reduce":
        engine, version, launch = "nccl", "", ""
    link = f"{where.link}+{network}" if nodes > 1 else where.link
    return Case(where.chip, where.architecture, link, engine, launch or "graph", version,
                op, float(group), float(nodes))


def settled_version(content: Content, where: Fabric, backend: str, version: str) -> str:
    """The version whose curves are meant: the one named if it was measured, else the newest."""
    if backend != "nccl":
        return ""
    keys = [k for k in content["libraries"] if k.split("|")[1] == "nccl"]
    if version and version in {k.rsplit("|", 1)[-1] for k in keys}:
        return version
    here = [k for k in keys if k.startswith(f"{where.chip}/{where.link}|")]
    return max(here or keys, key=_version_order, default="").rsplit("|", 1)[-1]


def corrected(content: Content, curves: Sequence[Curve] | None, where: Fabric, op: str,
              backend: str, version: str, bytes: Array, group: Array, seconds: Array,
              nodes: float = 1.0, network: str = "") -> tuple[Array, bool]:
    """Times bent by the correction curves, and whether every group has a curve of its own.

    `curves` are None for the shipped ones.
    """
    version = settled_version(content, where, backend, version)
    out, own = seconds.copy(), True
    for n in np.unique(group):
        case = case_of(where, op, backend, version, n, nodes, network)
        picked = group == n
        if curves is None:
            blended, known = _shipped_correction(case)
        else:
            blended, known = correction(case, curves), any(case == c.case for c in curves)
        out[picked] *= np.exp(evaluate(blended, bytes[picked]))
        own = own and known
    return out, own


def collective_time(chip: Chip, *, op: str, bytes: ArrayLike, group: ArrayLike, link: Link,
                    cross_domain_link: Link | None = None, nodes: int = 1,
                    backend: str = "nccl", format: str = "bf16", version: str = "",
                    content: Content | None = None) -> KernelTime:
    """Time of one collective over a group of devices.

        t = max(floor, (t_inside(n / d) + t_network(d)) * exp(correction)),
        floor = bytes that must leave a device / link bandwidth

    Args:
        chip: every device of the group.
        op: all_reduce, all_gather, reduce_scatter, all_to_all or send_recv.
        bytes: message size, the larger of the send and receive buffer of a rank (the
            nccl-tests convention) [bytes].
        group: ranks [1]; 1 takes no time. Broadcast with `bytes`.
        link: inside a domain. cross_domain_link: a device's port to the network.
        nodes: domains the group spans [1].
        backend: one of `BACKENDS`; "_eager" means launched from Python, not from a graph.
        format: element type; sums in any 8 or 16 bit type were measured within 7 % of each other,
            so it only names what is sent.
        version: of the library, "" for the newest measured.
        content: constants to use instead of the shipped ones.
    Returns:
        seconds with intervals, in the broadcast shape.
    Raises:
        BadInput: a size or group out of range, or several nodes without a network link.
        UnknownName: unknown operation or backend.
    Valid for: 256 B to 1 GiB and groups up to 16 as measured; beyond, the closed form alone.
    Sources: constants fitted to measurements published with NVIDIA AIConfigurator (nccl-tests,
        oneCCL, engines' custom all-reduce) and Microsoft Vidur.
    """
    forms.check_op(op)
    if backend not in BACKENDS:
        raise UnknownName.among("communication backend", backend, BACKENDS)
    size, ranks = np.broadcast_arrays(np.asarray(bytes, float), np.asarray(group, float))
    check_ranges(size, ranks, nodes, cross_domain_link)
    data = content or shipped()
    curves = curves_of(data) if content else None
    where = fabric(chip, link)
    inside = np.maximum(ranks.ravel() / nodes, 1.0)
    flat = size.ravel()
    seconds, distance = form_seconds(data, where, op, backend, version, flat, inside)
    seconds = np.where(inside > 1, seconds, 0.0)
    network = ""
    if nodes > 1 and cross_domain_link is not None:
        network = cross_domain_link.name
        seconds = seconds + network_seconds(data, where, op, backend, flat, ranks.ravel(), nodes,
                                            cross_domain_link)
    seconds, own = corrected(data, curves, where, op, backend, version, flat, ranks.ravel(),
                             seconds, nodes, network)
    floor = floor_seconds(where, op, flat, ranks.ravel(), nodes, cross_domain_link)
    seconds = np.where(ranks.ravel() > 1, np.maximum(seconds, floor), 0.0)
    if distance == "table" and not own:
        distance = "backend"
    if nodes > 1 and not own:
        distance = "physics"
    launch = "torch" if version == "torch" else backend.partition("_")[2] or "graph"
    return _answer(data, seconds.reshape(size.shape), distance, launch)


def _answer(data: Content, seconds: Array, distance: Distance, launch: str) -> KernelTime:
    """Attach the interval of how the kernel is launched and how far the constants come from."""
    spreads = data["spreads"]
    spread = np.asarray(spreads.get(f"{launch}/{distance}") or spreads[f"graph/{distance}"])
    return KernelTime(seconds, np.broadcast_to(spread, (*seconds.shape, 4)), distance,
                      "assumed" if distance == "physics" else "calibrated")


def check_ranges(bytes: Array, group: Array, nodes: int, network: Link | None) -> None:
    """Refuse sizes and groups that mean nothing.

    Raises:
        BadInput: with the value seen.
    """
    if not (np.isfinite(bytes).all() and (bytes >= 0).all()):
        raise BadInput(f"a message has 0 bytes or more, not {np.min(bytes)}")
    if not (np.isfinite(group).all() and (group >= 1).all()):
        raise BadInput(f"a group has 1 rank or more, not {np.min(group):g}")
    if nodes < 1:
        raise BadInput(f"a group spans 1 domain or more, not {nodes}")
    if nodes > 1 and network is None:
        raise BadInput(f"a group over {nodes} domains needs a link between them")
    if nodes > 1 and (group < nodes).any():
        raise BadInput(f"a group of {np.min(group):g} cannot span {nodes} domains")


def network_seconds(data: Content, where: Fabric, op: str, backend: str, bytes: Array,
                    group: Array, nodes: int, network: Link) -> Array:
    """The network part of a group over several domains, launch included [s]."""
    p = dict(data["network"])
    across = forms.network_time(op=op, bytes=bytes, group=group, nodes=float(nodes),
                                bandwidth=network.bandwidth, p=p)
    constants, _ = find_constants(data["libraries"], where, "nccl|")
    launch = np.where(group > nodes, 0.0, constants["ll_launch"])
    return np.asarray(across + launch)


def floor_seconds(where: Fabric, op: str, bytes: Array, group: Array, nodes: int,
                  network: Link | None) -> Array:
    """What no algorithm can beat: the bytes that must leave a device, over its links [s]."""
    least = forms.least_link_bytes(op=op, bytes=bytes, group=group, in_switch=where.in_switch)
    if nodes == 1 or network is None:
        return np.asarray(least / where.bandwidth)
    across = forms.least_link_bytes(op=op, bytes=bytes, group=float(nodes), in_switch=False)
    ports = 1.0 if op in ("all_to_all", "send_recv") else group / nodes
    return np.asarray(across / ports / network.bandwidth)
