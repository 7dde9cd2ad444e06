"""How engines run their schedulers: ahead of the device or not, one for each attention copy."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from ridgeline.memory.engines import version_tuple
from ridgeline.serving.deployed import Deployed
from ridgeline.serving.rules import Ranks
from ridgeline.serving.scheduler import Scheduler

__all__ = ["engine_scheduler", "overlaps", "ranks_of"]

# First version whose default is to decide a step while the one before it runs. vLLM: asynchronous
# scheduling (release notes of 0.14, EngineCore.step_with_batch_queue); SGLang: overlap schedule
# (0.4); TensorRT-LLM: overlap scheduler of the PyTorch backend (1.0).
_OVERLAPPED = {"vllm": (0, 14), "sglang": (0, 4), "trtllm": (1, 0)}
# SGLang's data-parallel controller takes copies in turn; vLLM and TensorRT-LLM look at loads.
_BALANCE = {"sglang": "turns"}


def overlaps(engine: str, version: str = "") -> bool:
    """Whether an engine decides a step while the one before it runs; "" is its newest version.

    >>> overlaps("vllm", "0.19.0"), overlaps("vllm", "0.13.0"), overlaps("llamacpp")
    (True, False, False)
    """
    since = _OVERLAPPED.get(engine)
    return since is not None and version_tuple(version) >= since


@functools.lru_cache(maxsize=256)
def ranks_of(replica: Deployed) -> Ranks:
    """The attention copies of a replica, and what of a step they do together: the experts."""
    plan = replica.deployment
    if plan.attention_dp == 1:
        return Ranks()
    from ridgeline.catalog import load_engine

    whole, experts = replica.table.tokens, replica.shared
    share = np.clip(experts.values[:, 0] / np.maximum(whole.values[:, 0], 1e-30), 0.0, 1.0)
    largest = load_engine(plan.engine).cuda_graph_max_batch if plan.cuda_graphs else 0
    if plan.engine == "vllm":       # its default: twice the sequences that may run at once
        largest = min(largest, 2 * max(1, int(replica.policy.max_num_seqs) // plan.attention_dp))
    return Ranks(plan.attention_dp, _BALANCE.get(plan.engine, "fewest"),
                 tuple(zip(whole.x.tolist(), share.tolist(), strict=True)), largest)


def engine_scheduler(replica: Deployed, rules: Scheduler) -> Scheduler:
    """Rules of a whole replica as its engine runs them: split over its ranks, decided ahead.

    Args:
        replica: what serves.
        rules: budget, sequences and blocks of all ranks together.
    """
    ranks = ranks_of(replica)
    if rules.static:
        return rules
    plan, each = replica.deployment, ranks.count
    blocks = None if rules.kv_blocks is None else max(1, rules.kv_blocks // each)
    return dataclasses.replace(
        rules, ranks=ranks, kv_blocks=blocks,
        token_budget=max(1, rules.token_budget // each),
        max_num_seqs=max(1, rules.max_num_seqs // each),
        overlap=overlaps(plan.engine, plan.engine_version) and not rules.interval)
