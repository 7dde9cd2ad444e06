"""From a question's words to a replica's rules: limits, drafts, memory tiers, pools, scaling."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from ridgeline.errors import BadInput, Infeasible, UnknownName
from ridgeline.questions.simulate_asked import Asked

if TYPE_CHECKING:
    from ridgeline.serving.autoscale import Autoscale
    from ridgeline.serving.deployed import Deployed
    from ridgeline.serving.pools import PoolFleet
    from ridgeline.serving.replicas import Fleet
    from ridgeline.serving.requests import Requests
    from ridgeline.serving.rules import PrefixCache, Speculation, Swap
    from ridgeline.serving.scheduler import Scheduler

__all__ = ["fleet_of", "scheduler_of"]

# The scheduler that stands for each engine's default.
_RULES = {"vllm": "vllm", "sglang": "sglang", "trtllm": "reserve", "llamacpp": "vllm",
          "transformers": "static"}


def scheduler_of(replica: Deployed, requests: Requests, asked: Asked) -> Scheduler:
    """The engine's rules with this deployment's limits and cache, and what was asked beyond.

    Raises:
        BadInput: an unknown name, or rules that contradict each other.
        Infeasible: the KV cache holds nothing.
    """
    from ridgeline.serving.engine_rules import engine_scheduler
    from ridgeline.serving.scheduler import Scheduler, named_scheduler

    policy, foot = replica.policy, replica.footprint
    block = foot.limits.block_size
    mean = max(1.0, float((requests.prompt + requests.output / 2).mean()))
    tokens = foot.kv_capacity_tokens(mean)
    blocks = None if math.isinf(tokens) else int(tokens // block)
    if blocks == 0:
        raise Infeasible("does not fit: the KV cache holds less than one block")
    copies = replica.deployment.attention_dp
    if blocks is not None and blocks > copies and replica.deployment.engine == "vllm":
        blocks -= copies    # vLLM keeps one block a copy empty, to stand for "no block"
    name = asked.scheduler or _RULES.get(replica.deployment.engine, "vllm")
    base = named_scheduler(name, Scheduler(policy.token_budget, policy.max_num_seqs, blocks,
                                           block, interval=asked.interval))
    base = engine_scheduler(replica, base)
    copies = base.ranks.count
    return dataclasses.replace(
        base, order=asked.order, most_waiting=asked.max_waiting,
        speculation=_speculation(asked), swap=_swap(replica, asked, mean, copies),
        prefix_cache=_prefix_cache(replica, asked, mean, copies))


def _speculation(asked: Asked) -> Speculation | None:
    from ridgeline.serving.rules import Speculation

    if not asked.draft_tokens:
        return None
    given = asked.acceptance[: asked.draft_tokens]
    return Speculation(given + given[-1:] * (asked.draft_tokens - len(given)), asked.draft_cost)


def _kv_bytes(replica: Deployed, context: float) -> float:
    """Cache of one token of a sequence of mean length, on all devices of a replica."""
    total = replica.architecture.cache_bytes(context, kv_bits=replica.formats.kv.bytes * 8)
    return float(total) / context


def _host_seconds(replica: Deployed, context: float) -> float:
    """Time to move one token's cache between device and host, each device over its own link."""
    chip = replica.cluster.chip
    if chip.host is None:
        raise BadInput(f"the catalog knows no host link of {chip.name}; swapping and a host cache "
                       "need one")
    chips = replica.deployment.chips_per_replica
    return _kv_bytes(replica, context) / (chips * chip.host.bandwidth)


def _swap(replica: Deployed, asked: Asked, context: float, copies: int) -> Swap | None:
    """Each attention copy has its share of the host's memory and its own devices' links."""
    from ridgeline.serving.rules import Swap

    if not asked.swap:
        return None
    return Swap(int(asked.swap / copies // _kv_bytes(replica, context)),
                copies * _host_seconds(replica, context))


def _prefix_cache(replica: Deployed, asked: Asked, context: float, copies: int
                  ) -> PrefixCache | None:
    """The cache's tiers: disk passes through the host, so its time is the slower of the two.

    Each attention copy has its share of them, and its own devices' links.
    """
    from ridgeline.serving.rules import PrefixCache

    if not asked.prefix_cache:
        return None
    bytes_per_token = _kv_bytes(replica, context)
    host = 0.0
    if asked.host_cache or asked.disk_cache:
        host = copies * _host_seconds(replica, context)
    disk = bytes_per_token / _disk_bandwidth(asked.disk_tier) if asked.disk_cache else 0.0
    return PrefixCache(int(asked.host_cache / copies // bytes_per_token),
                       int(asked.disk_cache / copies // bytes_per_token), host, max(host, disk))


def _disk_bandwidth(name: str) -> float:
    """Bandwidth of a memory tier of the catalog [B/s]."""
    from ridgeline.catalog import load_tiers

    tiers = {tier.name: tier.device_bandwidth or tier.bandwidth for tier in load_tiers()}
    if name not in tiers:
        raise UnknownName.among("memory tier", name, tiers)
    found = tiers[name]
    if found is None:
        raise BadInput(f"the catalog knows no bandwidth of {name!r}")
    return found


def fleet_of(replica: Deployed, requests: Requests, asked: Asked
             ) -> Fleet | PoolFleet | Autoscale:
    """How many replicas, and what each is for.

    Raises:
        BadInput: numbers that cannot be, or no link between pools.
    """
    from ridgeline.serving.autoscale import Autoscale
    from ridgeline.serving.pools import PoolFleet
    from ridgeline.serving.replicas import Fleet

    if asked.scale_range is not None:
        return Autoscale(*asked.scale_range, asked.scale_target, asked.cold_start,
                         asked.scale_every, asked.scale_patience)
    if asked.pool_sizes is not None:
        prefill, decode = asked.pool_sizes
        pools = PoolFleet(prefill, decode, asked.router)
        return dataclasses.replace(pools, transfer=_transfer(replica, requests, pools.replicas))
    return Fleet(asked.replicas or replica.deployment.dp, asked.router)


def _transfer(replica: Deployed, requests: Requests, replicas: int) -> Transfer:
    """Sending a prompt's cache: all devices of a replica over their links to the other pool.

    Pools that fit into one scale-up domain use its link; others the scale-out network.
    """
    from ridgeline.serving.pools import Transfer
    from ridgeline.work.communication_volume import kv_transfer_time

    chips, cluster = replica.deployment.chips_per_replica, replica.cluster
    domain = max(cluster.domain_size, cluster.chip.domain_size)
    inside = chips * replicas <= domain
    up = cluster.scale_up or cluster.chip.scale_up
    link = up if inside and up is not None else cluster.scale_out or cluster.chip.scale_out
    if link is None:
        raise BadInput(f"the catalog knows no network of {cluster.chip.name} to send caches over")
    context = float(requests.prompt.mean())
    each = kv_transfer_time(prompt_tokens=1.0, kv_bytes_per_token=_kv_bytes(replica, context),
                            network_bandwidth=chips * link.bandwidth)
    return Transfer(link.latency, float(each))


if TYPE_CHECKING:
    from ridgeline.serving.pools import Transfer
