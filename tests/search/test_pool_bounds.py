"""No row of a pair of pools is better than its bound, so that the search of pools is complete."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

import ridgeline
from ridgeline.questions.plan_ask import PlanAsk, planned
from ridgeline.search import explore as explore_room
from ridgeline.search.evaluate import ladder
from ridgeline.search.explore import explore
from ridgeline.search.pools import TwoPools, pool_pieces, possible_pairs, promising_pairs
from ridgeline.search.rated import Rated, rated
from ridgeline.search.space import Shape, shapes

GOALS = ({"tpot": 0.05, "ttft": 2.0}, {"tpot": 0.02}, {"rate": 4.0, "ttft": 3.0}, {"users": 40},
         {"budget": 30.0}, {"rate": 0.5, "tpot": 0.03})


def replicas(asked):
    """Every replica that fits."""
    found = [rated(asked.space.architecture, shape, asked.requests, asked.space.chunks)
             for offer in asked.space.offers
             for shape in shapes(asked.space.architecture, offer, asked.space.choices)
             if isinstance(shape, Shape)]
    return [one for one in found if isinstance(one, Rated)]


def least_found(pair, goal, batches):
    """Least objective that any row of a pair could have, looked up in all of them."""
    (piece,) = pool_pieces(pair, 0, goal, batches)
    could = piece.low.objective[piece.low.verdict == 0]
    return float(could.min()) if len(could) else math.inf


@pytest.mark.parametrize("fields", GOALS)
@pytest.mark.parametrize(("model", "on"), [("gpt-oss-20b", ("4xH100-SXM",)),
                                           ("Llama-3.1-70B", ("8xH200", "4xB200-SXM"))])
def test_no_row_is_better_than_the_bound_of_its_pair(model, on, fields):
    asked = planned(PlanAsk(model, on, prompt=3000, output=300, **fields))
    kept, batches = replicas(asked), ladder(None)
    seen = 0
    for minimize in ("cost", "latency", "energy", "chips"):
        goal = dataclasses.replace(asked.goal, minimize=minimize)
        promising = promising_pairs(asked.space.architecture, kept, goal, batches)
        bounds = {(id(p.prefill), id(p.decode)): least for least, p in promising}
        kv = promising[0][1].kv_bytes if promising else 1e9
        for one, many in itertools.product(kept[::3], kept[::2]):
            pair = TwoPools(one, many, kv)
            if math.isfinite(pair.transfer_s):
                least = least_found(pair, goal, batches)
                assert bounds.get((id(one), id(many)), math.inf) <= least
                seen += math.isfinite(least)
    assert seen or "rate" in fields or "budget" in fields


@pytest.mark.parametrize("minimize", ["cost", "latency", "chips"])
def test_the_best_of_some_pairs_is_the_best_of_all(minimize):
    asked = planned(PlanAsk("Llama-3.1-8B", ("4xH100-SXM",), prompt=6000, output=200, tpot=0.03,
                            ttft=1.5, minimize=minimize, mode="disaggregated"))
    found = explore(asked.space, asked.requests, asked.goal)
    kept, batches = replicas(asked), ladder(None)
    sure = math.inf
    for one in kept:
        for many in kept:
            pair = TwoPools(one, many, found.models[0].kv_bytes)
            if one.shape.chips + many.shape.chips > 4 or not math.isfinite(pair.transfer_s):
                continue
            (piece,) = pool_pieces(pair, 0, asked.goal, batches)
            good = piece.scored.objective[piece.scored.verdict == 0]
            sure = min(sure, float(good.min()) if len(good) else math.inf)
    assert found.pairs.possible == possible_pairs(kept) == len(kept) ** 2
    assert found.pairs.evaluated < found.pairs.possible
    assert found.candidates()[0][0] == pytest.approx(sure, rel=1e-12)
    assert found.pairs.left > found.ceiling


def test_an_unfinished_search_tells_how_much_is_left(monkeypatch):
    monkeypatch.setattr(explore_room, "MOST_PAIRS", 5)
    answer = ridgeline.plan("Llama-3.1-70B", "8xH200", prompt=4000, output=300,
                            mode="disaggregated")
    said = next(note for note in answer.notes if note.startswith("Prefill and decode pools"))
    assert "the others could be at most" in said


def test_a_finished_search_says_so():
    answer = ridgeline.plan("Llama-3.1-8B", "4xH100-SXM", prompt=4000, output=300, tpot=0.03)
    said = next(note for note in answer.notes if note.startswith("Prefill and decode pools"))
    assert said.endswith("bounds show that none of the others is better.")
    alone = ridgeline.plan("Llama-3.1-8B", "4xH100-SXM", mode="aggregated")
    assert not any(note.startswith("Prefill and decode pools") for note in alone.notes)


def test_there_is_no_bound_without_a_place_in_the_cache():
    asked = planned(PlanAsk("Llama-3.1-8B", ("2xH100-SXM",), prompt=4000, output=300))
    few = np.array([1e6])
    assert promising_pairs(asked.space.architecture, replicas(asked), asked.goal, few) == []
