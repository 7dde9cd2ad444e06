"""Fixes are ranked and each of them is re-evaluated; the smallest machine really is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ridgeline.catalog import load_chip
from ridgeline.deployment import Deployment
from ridgeline.errors import BadInput, Infeasible
from ridgeline.memory.advice import (
    explain,
    fixes,
    holds,
    ideal_devices_for,
    shortfall,
    smallest_tp,
)
from ridgeline.memory.inference import footprint
from ridgeline.model.architecture import Architecture

Models = Callable[[str], Architecture]


def test_a_70b_does_not_fit_one_h100_and_the_fixes_do(model: Models) -> None:
    chip, big = load_chip("H100-SXM"), model("Llama-3.1-70B")
    found = footprint(big, Deployment(), chip)
    assert not holds(found, 4096, 1)
    assert "weights take 141 GB of" in explain(found, 4096, 1)
    assert shortfall(found, 4096, 1) > 69e9
    offered = fixes(big, Deployment(), chip, context_length=4096)
    assert offered[0].what == "store the weights in awq"
    assert offered[0].extra_chips == 0
    assert {fix.what for fix in offered if fix.enough} >= {"use tp 4", "use pp 4"}
    for fix in offered:
        after = footprint(big, fix.deployment, chip)
        assert holds(after, 4096, 1) == fix.enough
        assert after.max_concurrency(4096) == fix.concurrency


def test_a_cache_that_is_too_small_says_so(model: Models) -> None:
    chip, small = load_chip("RTX-4090"), model("Llama-3.1-8B")
    found = footprint(small, Deployment(), chip)
    assert explain(found, 1024, 8).startswith("fits: ")
    assert "the cache of 64 x 4096 tokens is short of" in explain(found, 4096, 64)
    offered = fixes(small, Deployment(), chip, context_length=4096, batch_size=16)
    assert any(fix.what == "keep the cache in fp8" for fix in offered)
    order = [(not fix.enough, fix.extra_chips, fix.accuracy_risk) for fix in offered]
    assert order == sorted(order)


def test_the_smallest_group_is_the_smallest(model: Models) -> None:
    chip, big = load_chip("H100-SXM"), model("Llama-3.1-70B")
    found = smallest_tp(big, Deployment(), chip, context_length=8192, batch_size=8)
    assert found.tp == 4
    assert not holds(footprint(big, replace(found, tp=2), chip), 8192, 8)
    assert ideal_devices_for(big, chip, context_length=8192) == 2
    with pytest.raises(Infeasible, match="fits no tensor-parallel group"):
        smallest_tp(model("Llama-3.1-405B"), Deployment(), load_chip("T4"),
                    context_length=131072, batch_size=4096)
    with pytest.raises(BadInput, match="must be at least 1"):
        fixes(big, Deployment(), chip, context_length=0)
