"""A measured serving row as the deployment that ran it, ready for timing."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from ridgeline.catalog import load_chip
from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import settle_formats
from ridgeline.machine import Cluster
from ridgeline.measure.truth.names import architecture_named
from ridgeline.measure.truth.serving_row import ServingRow, read_serving_row
from ridgeline.search.speculation import Draft, DraftedDeployed, read_draft
from ridgeline.serving.deployed import Deployed
from ridgeline.serving.latency import Pools
from ridgeline.serving.measured_run import Protocol, protocol_named

__all__ = ["pools_of", "protocol_of", "run_of"]


# Engines that send the first token by itself.
_AT_ONCE = ("vllm", "sglang")
# Published acceptance of tokens that a model's own heads draft; what a family of rows really
# accepts is learned on top.
_ACCEPTANCE = "deepseek-v4-pro-mtp-thinking"


def run_of(row: Mapping[str, Any]) -> tuple[ServingRow, Pools]:
    """The row's protocol and what served it.

    Raises:
        BadInput: the row or its model, chip or format is not known.
    """
    run = read_serving_row(row)
    return run, pools_of(run)


def protocol_of(run: ServingRow) -> Protocol:
    """How the row's load was generated, and how its engine answered clients.

    vLLM and SGLang send a first token at once whatever their interval, and so does a prefill pool.
    Intervals are in steps, each of which makes several tokens where a model drafts them.
    """
    protocol, recipe = protocol_named(run.protocol), run.recipe
    each = _tokens_per_step(recipe.drafts)
    stream = round(recipe.stream * each)
    if run.disaggregated or run.decode.deployment.engine in _AT_ONCE:
        stream = 0
    poll = 0 if run.disaggregated else recipe.poll_steps(run.concurrency)
    return dataclasses.replace(protocol, stream=stream, poll=round(poll * each),
                               wait=recipe.wait, fill=recipe.fill, graphs=recipe.graphs)


def _tokens_per_step(drafts: int) -> float:
    draft = read_draft(drafts or None, _ACCEPTANCE if drafts else None)
    return draft.tokens_per_step if draft else 1.0


def pools_of(run: ServingRow) -> Pools:
    """The pools of a row; replicas alike share their tables."""
    longest = run.prompt + run.output
    drafts = run.recipe.drafts
    decode = _replica(run.model, run.system, run.decode.deployment, longest, drafts)
    prefill = (_replica(run.model, run.system, run.prefill.deployment, longest, 0)
               if run.disaggregated else None)
    return Pools(decode, prefill, run.decode.workers, run.prefill.workers)


@functools.lru_cache(maxsize=4096)
def _replica(model: str, system: str, deployment: Deployment, longest: int, drafts: int
             ) -> Deployed:
    architecture, chip = architecture_named(model), load_chip(system)
    cluster = Cluster.of(chip, deployment.chips_per_replica)
    formats = settle_formats(architecture, deployment, chip)
    if drafts:
        return DraftedDeployed(architecture, deployment, cluster, formats, longest,
                               draft=Draft(drafts, _tokens_per_step(drafts)))
    return Deployed(architecture, deployment, cluster, formats, longest)
