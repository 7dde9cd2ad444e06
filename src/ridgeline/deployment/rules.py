"""Which rules a deployment breaks for a model and a machine, each in one line with its fix."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from ridgeline.deployment.deployment import Deployment
from ridgeline.errors import BadInput, UnknownName, nearest
from ridgeline.machine import Chip, Cluster
from ridgeline.model.architecture import Architecture
from ridgeline.model.parts import DenseFfn, ExpertFfn

DEGREES = ("tp", "pp", "ep", "dp", "cp", "attention_dp")
# Edge of the square blocks that share a scale in block-quantised FP8 checkpoints.
FP8_BLOCK = 128


def broken_rules(architecture: Architecture, deployment: Deployment,
                 cluster: Cluster) -> tuple[str, ...]:
    """Every rule the deployment breaks; empty when it is valid (whether it fits is another room).

    Args:
        architecture: the model.
        deployment: how it is laid out.
        cluster: the machine.

    Returns:
        one line for each broken rule: what, the value seen, the nearest valid value.
    """
    degrees = tuple(_degree_rules(deployment))
    if degrees:                    # nothing below can be computed from such degrees
        return degrees
    return (*_size_rules(architecture, deployment, cluster),
            *_head_rules(architecture, deployment),
            *_width_rules(architecture, deployment),
            *_expert_rules(architecture, deployment),
            *_engine_rules(deployment, cluster.chip),
            *_format_rules(architecture, deployment, cluster.chip),
            *_limit_rules(deployment))


def _degree_rules(deployment: Deployment) -> Iterator[str]:
    for name in DEGREES:
        value = getattr(deployment, name)
        if value < 1:
            yield f"{name} is {value}; it must be at least 1"


def _size_rules(architecture: Architecture, deployment: Deployment,
                cluster: Cluster) -> Iterator[str]:
    used = " x ".join(f"{name} {getattr(deployment, name)}"
                      for name in ("tp", "attention_dp", "cp", "pp", "dp")
                      if getattr(deployment, name) > 1) or "tp 1"
    if deployment.chips != cluster.n_chips:
        yield (f"{used} needs {deployment.chips} chips and the machine has {cluster.n_chips}; "
               f"set dp to {max(1, cluster.n_chips // deployment.chips_per_replica)} or take "
               f"{deployment.chips} chips")
    if deployment.pp > architecture.n_layers:
        yield (f"pp {deployment.pp} is more stages than the {architecture.n_layers} layers; "
               f"use at most {architecture.n_layers}")


def _head_rules(architecture: Architecture, deployment: Deployment) -> Iterator[str]:
    tp = deployment.tp
    counts = _attributes((block.mixer for block, _ in architecture.blocks),
                         "n_heads", "n_v_heads")
    common = math.gcd(*counts) if counts else tp
    if common % tp:
        yield (f"tp {tp} does not divide the {_either(counts)} heads; "
               f"use {_nearest_divisor(common, tp)}")
    for n_kv in _attributes((block.mixer for block, _ in architecture.blocks), "n_kv_heads"):
        if n_kv % tp and tp % n_kv:
            fits = [t for t in divisors(common) if not (n_kv % t and t % n_kv)]
            yield (f"tp {tp} neither divides nor is a multiple of the {n_kv} KV heads; "
                   f"use {_closest(fits, tp)}")


def _width_rules(architecture: Architecture, deployment: Deployment) -> Iterator[str]:
    widths = {block.ffn.d_ff for block, _ in architecture.blocks
              if isinstance(block.ffn, DenseFfn)}
    widths |= {ffn.shared_d_ff for ffn, _ in architecture.mixtures if ffn.shared_d_ff}
    for width in sorted(widths):
        if width % deployment.tp:
            yield (f"tp {deployment.tp} does not divide the feed-forward width {width}; "
                   f"use {_nearest_divisor(width, deployment.tp)}")


def _expert_rules(architecture: Architecture, deployment: Deployment) -> Iterator[str]:
    layers = {ffn for ffn, _ in architecture.mixtures}
    ep, group = deployment.ep, deployment.expert_group
    if not layers:
        if ep > 1:
            yield f"ep {ep} splits experts and {architecture.name} has none; use 1"
        return
    if group % ep:
        yield (f"ep {ep} does not divide the group of {group} chips that share the experts "
               f"(tp x attention_dp); use {_nearest_divisor(group, ep)}")
    for layer in sorted(layers, key=lambda ffn: (ffn.n_experts, ffn.d_expert)):
        if layer.n_experts % ep:
            yield (f"ep {ep} does not divide {layer.n_experts} experts; "
                   f"use {_nearest_divisor(math.gcd(layer.n_experts, group), ep)}")
        elif group % ep == 0:
            yield from _split_expert_rules(layer, architecture, deployment)


def _split_expert_rules(layer: ExpertFfn, architecture: Architecture,
                        deployment: Deployment) -> Iterator[str]:
    ways = deployment.expert_tp
    declared = architecture.expert_format or architecture.weight_format
    name = _canonical(deployment.experts or deployment.weights or declared)
    edge = FP8_BLOCK if name == "fp8_block" else 1
    if ways > 1 and layer.d_expert % (ways * edge):
        what = f"blocks of {edge} in " if edge > 1 else ""
        yield (f"experts split {ways} ways do not divide {what}the expert width "
               f"{layer.d_expert}; use ep {_larger_divisor(deployment.expert_group, layer, edge)}")


def _larger_divisor(group: int, layer: ExpertFfn, edge: int) -> int:
    """Smallest ep that leaves whole pieces of each expert."""
    for ep in divisors(group):
        whole = ep == group or layer.d_expert % (group // ep * edge) == 0
        if layer.n_experts % ep == 0 and whole:
            return ep
    return group


def _engine_rules(deployment: Deployment, chip: Chip) -> Iterator[str]:
    from ridgeline.catalog import load_engine

    try:
        engine = load_engine(deployment.engine)
    except UnknownName as error:
        yield str(error)
        return
    if engine.vendors and chip.vendor not in engine.vendors:
        yield (f"{engine.title} does not run on {chip.vendor}; it runs on "
               + ", ".join(engine.vendors))
    for name in ("tp", "pp", "ep", "cp", "attention_dp"):
        # Copies of the attention beside shared experts are data parallelism in some engines.
        known = name in engine.parallelism or (name == "attention_dp"
                                               and {"dp", "ep"} <= set(engine.parallelism))
        if getattr(deployment, name) > 1 and not known:
            yield f"{engine.title} has no {name}; use {name} 1"
    asked = (("KV cache", deployment.kv, engine.kv_formats),
             ("weights", deployment.weights, engine.weight_formats),
             ("experts", deployment.experts, engine.weight_formats))
    for what, given, accepted in asked:
        if given is None or not accepted or _canonical(given) in accepted:
            continue
        if what == "KV cache" or _known(given):     # unknown weight formats have their own line
            close = (nearest(_canonical(given), accepted) or ["bf16"])[0]
            yield (f"{engine.title} has no {what} in {_canonical(given)}; use {close} "
                   f"(it has: {', '.join(accepted)})")


def _format_rules(architecture: Architecture, deployment: Deployment,
                  chip: Chip) -> Iterator[str]:
    from ridgeline.formats import compute_format, get_format

    asked = {"weights": deployment.weights or architecture.weight_format,
             "experts": (deployment.experts or deployment.weights or architecture.expert_format
                         or architecture.weight_format)}
    seen = set()
    for kind, name in asked.items():
        try:
            compute_format(get_format(name), chip)
        except BadInput as error:
            if str(error) not in seen:
                seen.add(str(error))
                yield f"{kind}: {error}"


def _limit_rules(deployment: Deployment) -> Iterator[str]:
    fraction = deployment.memory_fraction
    if fraction is not None and not 0 < fraction <= 1:
        yield f"memory_fraction is {fraction:g}; it must be above 0 and at most 1"
    for name in ("max_num_seqs", "max_num_batched_tokens", "block_size"):
        value = getattr(deployment, name)
        if value is not None and value < 1:
            yield f"{name} is {value}; it must be at least 1"
    seqs, tokens = deployment.max_num_seqs, deployment.max_num_batched_tokens
    if seqs is not None and tokens is not None and 1 <= tokens < seqs:
        yield (f"max_num_batched_tokens {tokens} is below max_num_seqs {seqs}: a step could not "
               f"give each sequence one token; use at least {seqs}")


def _canonical(name: str) -> str:
    """The catalog's spelling of a format, or the name itself when it is not one."""
    from ridgeline.formats import get_format

    try:
        return get_format(name).name
    except BadInput:
        return name


def _known(name: str) -> bool:
    from ridgeline.formats import get_format

    try:
        get_format(name)
    except BadInput:
        return False
    return True


def _attributes(parts: Iterable[object], *names: str) -> tuple[int, ...]:
    """Distinct positive values of attributes over parts that have them."""
    found = {getattr(part, name, 0) for part in parts for name in names}
    return tuple(sorted(value for value in found if value))


def _either(counts: tuple[int, ...]) -> str:
    return " or ".join(str(count) for count in counts)


def divisors(number: int, most: int | None = None) -> list[int]:
    """Numbers that divide `number`, ascending, up to `most` where it is given."""
    last = number if most is None else min(number, most)
    return [d for d in range(1, last + 1) if number % d == 0]


def _closest(valid: list[int], value: int) -> int:
    """The valid value nearest in ratio; the smaller one of two equally near."""
    return min(valid, key=lambda v: (abs(math.log(v / value)), v))


def _nearest_divisor(number: int, value: int) -> int:
    return _closest(divisors(number), value)
