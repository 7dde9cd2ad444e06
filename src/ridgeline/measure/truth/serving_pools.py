"""A measured serving row as the deployment that ran it, ready for timing."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from ridgeline.catalog import load_chip
from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import settle_formats
from ridgeline.machine import Cluster
from ridgeline.measure.truth.names import architecture_named
from ridgeline.measure.truth.serving_row import ServingRow, read_serving_row
from ridgeline.serving.deployed import Deployed
from ridgeline.serving.latency import Pools

__all__ = ["pools_of", "run_of"]


def run_of(row: Mapping[str, Any]) -> tuple[ServingRow, Pools]:
    """The row's protocol and what served it.

    Raises:
        BadInput: the row or its model, chip or format is not known.
    """
    run = read_serving_row(row)
    return run, pools_of(run)


def pools_of(run: ServingRow) -> Pools:
    """The pools of a row; replicas alike share their tables."""
    longest = run.prompt + run.output
    decode = _replica(run.model, run.system, run.decode.deployment, longest)
    prefill = (_replica(run.model, run.system, run.prefill.deployment, longest)
               if run.disaggregated else decode)
    return Pools(decode, prefill, run.decode.workers, run.prefill.workers)


@functools.lru_cache(maxsize=512)
def _replica(model: str, system: str, deployment: Deployment, longest: int) -> Deployed:
    architecture, chip = architecture_named(model), load_chip(system)
    cluster = Cluster.of(chip, deployment.chips_per_replica)
    formats = settle_formats(architecture, deployment, chip)
    return Deployed(architecture, deployment, cluster, formats, longest)
