"""Prefill and decode apart: matched in rate, the cache sent over the real link."""

import math

import numpy as np
import pytest

import ridgeline
from ridgeline.questions.plan_ask import PlanAsk, planned
from ridgeline.questions.plan_finalists import _exact
from ridgeline.search.findings import Key
from ridgeline.search.pools import (
    DECODE_WORKERS,
    MATCHED,
    TwoPools,
    best_pairs,
    kv_transfer_time,
    pool_piece,
)
from ridgeline.search.rated import POOLS_APART, Rated, rated
from ridgeline.search.space import Shape, shapes


@pytest.fixture(scope="module")
def asked():
    return planned(PlanAsk("Llama-3.1-70B", ("16xH100-SXM", "8xH200-SXM"), prompt=8192, output=500,
                           tpot=0.05))


@pytest.fixture(scope="module")
def pairs(asked):
    found = [rated(asked.space.architecture, shape, asked.requests)
             for offer in asked.space.offers
             for shape in shapes(asked.space.architecture, offer, asked.space.choices)
             if isinstance(shape, Shape) and shape.deployment.pp == 1]
    return list(best_pairs(asked.space.architecture, [r for r in found if isinstance(r, Rated)],
                           asked.goal))


def test_transfer_of_a_prompt_as_worked_by_hand(pairs):
    """8k tokens of Llama-3-70B: 2.68 GB, 6.7 ms over 8 x 400 Gbit/s (capabilities 4.11)."""
    assert pairs[0].kv_bytes == pytest.approx(2.684e9, rel=5e-3)
    assert kv_transfer_time(kv_bytes=2.684e9, bandwidth=8 * 50e9) == pytest.approx(6.7e-3,
                                                                                  rel=5e-3)
    eight = [p for p in pairs if p.prefill.shape.chips == p.decode.shape.chips == 8]
    assert eight
    for pair in eight:
        link = pair.prefill.shape.offer.chip.scale_out
        assert pair.transfer_s == pytest.approx(6.71e-3 + link.latency, rel=5e-3)


def test_the_narrower_side_sets_the_transfer(pairs):
    for pair in pairs:
        one, many = pair.prefill.shape, pair.decode.shape
        inside = one.offer is many.offer and one.chips + many.chips <= 8
        link = one.offer.chip.scale_up if inside else one.offer.chip.scale_out
        lanes = min(one.chips, many.chips)
        assert pair.transfer_s == pytest.approx(pair.kv_bytes / (lanes * link.bandwidth), rel=0.01)


def test_pools_are_matched_in_rate(pairs):
    batch = np.array([1.0, 16.0, 64.0])
    for pair in pairs:
        for many in (1.0, 4.0):
            workers = pair.prefill_workers(np.full(3, many), batch)
            step = pair.decode.curves.decode(batch)
            prompts = many * batch / (499 * step)       # before corrections, within their bound
            can = workers * pair.prefill.shape.deployment.attention_dp / pair.prompt_s
            assert (can * MATCHED * math.e >= prompts).all()
            fewer = (workers - 1) * pair.prefill.shape.deployment.attention_dp / pair.prompt_s
            assert (fewer * MATCHED / math.e <= prompts + 1e-9).all()


def test_different_chips_serve_different_pools(pairs):
    kinds = {(p.prefill.shape.offer.chip.name, p.decode.shape.offer.chip.name) for p in pairs}
    assert ("H100-SXM", "H200-SXM") in kinds
    assert ("H100-SXM", "H100-SXM") in kinds


def test_neither_offer_is_exceeded(asked, pairs):
    for pair in pairs:
        piece = pool_piece(pair, 0, asked.goal, np.repeat(np.arange(len(DECODE_WORKERS)), 2),
                           np.tile([8.0, 64.0], len(DECODE_WORKERS)))
        many = np.array(DECODE_WORKERS)[piece.setting]
        workers = pair.prefill_workers(many.astype(float), piece.batch)
        good = piece.scored.verdict == 0
        units = piece.scored.replicas[good]
        used = {}
        for rated_, count in ((pair.prefill, workers), (pair.decode, many)):
            name = rated_.shape.offer.chip.name
            used[name] = used.get(name, 0) + units * count[good] * rated_.shape.chips
        for name, chips in used.items():
            limit = {"H100-SXM": 16, "H200-SXM": 8}[name]
            assert (chips <= limit).all()


def test_the_form_is_near_the_exact_analysis(asked, pairs):
    for pair in pairs[:6]:
        piece = pool_piece(pair, 0, asked.goal, np.array([0, 0, 1]), np.array([1.0, 32.0, 32.0]))
        for i in range(3):
            exact = _exact(asked, pair, Key(0, int(piece.setting[i]), int(piece.batch[i])))
            off = POOLS_APART
            assert off.fast_wait < exact.ttft / piece.times.ttft[i] < off.slow_wait
            assert off.fast < exact.tpot / piece.times.tpot[i] < off.slow


def test_an_answer_of_pools_has_what_starts_both():
    answer = ridgeline.plan("Llama-3.1-70B", ("16xH100-SXM", "8xH200-SXM"), prompt=8192, output=500,
                            tpot=0.04, mode="disaggregated", batches=(8, 32, 64))
    best = answer.to_dict()["answer"]["best"]
    assert best["mode"] == "disaggregated"
    assert best["kv_transfer_s"] > 0
    first = best["prefill"]
    assert first["workers"] == first["dp"] >= 1
    chips = {best["chip"]: best["dp"] * best["tp"] * best["pp"]}
    chips[first["chip"]] = chips.get(first["chip"], 0) + first["dp"] * first["tp"] * first["pp"]
    assert sum(chips.values()) == best["chips"]
    assert best["ttft_s"] > best["kv_transfer_s"]
    assert isinstance(answer.best.main.deployment.dp, int)


def test_every_engine_and_format_has_its_pairs():
    asked = planned(PlanAsk("Llama-3.1-8B", ("4xH100-SXM",), prompt=1000, output=100,
                            engines=("vllm", "sglang"), formats=("bf16", "fp8")))
    found = [rated(asked.space.architecture, shape, asked.requests)
             for shape in shapes(asked.space.architecture, asked.space.offers[0],
                                 asked.space.choices) if isinstance(shape, Shape)]
    made = list(best_pairs(asked.space.architecture, [r for r in found if isinstance(r, Rated)],
                           asked.goal))
    kinds = {(p.decode.shape.deployment.engine, p.decode.shape.deployment.weights) for p in made}
    assert kinds == {(e, w) for e in ("vllm", "sglang") for w in ("bf16", "fp8")}
    for pair in made:
        for name in ("engine", "weights", "kv"):
            assert getattr(pair.prefill.shape.deployment, name) == getattr(
                pair.decode.shape.deployment, name)


def test_pairs_need_output():
    asked = planned(PlanAsk("Llama-3.1-8B", ("2xH100-SXM",), prompt=100, output=1))
    shape = next(s for s in shapes(asked.space.architecture, asked.space.offers[0],
                                   asked.space.choices) if isinstance(s, Shape))
    one = rated(asked.space.architecture, shape, asked.requests)
    assert not list(best_pairs(asked.space.architecture, [one], asked.goal))
    assert isinstance(TwoPools(one, one, 1e9).transfer_s, float)
