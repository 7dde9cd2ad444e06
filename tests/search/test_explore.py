"""The sweep against looking at every row by itself."""

import numpy as np
import pytest

from ridgeline.questions.plan_ask import PlanAsk, planned
from ridgeline.search.evaluate import PIECE, Aggregated, row_of
from ridgeline.search.explore import explore
from ridgeline.search.findings import Key


@pytest.fixture(scope="module")
def swept():
    """A small space with two kinds of chip, formats and budgets, and every piece of it."""
    asked = planned(PlanAsk("Llama-3.1-8B", ("4xH100-SXM", "2xL40S"), prompt=1500, output=250,
                            tpot=0.02, ttft=1.0, rate=6.0, formats=("bf16", "fp8"),
                            batches=(1, 3, 8, 20, 64, 150, 400)))
    pieces = []
    found = explore(asked.space, asked.requests, asked.goal,
                    watch=lambda piece, model: pieces.append((piece, model)))
    return asked, found, pieces


def test_the_frontier_is_exact(swept):
    _, found, pieces = swept
    rows = []
    for piece, _ in pieces:
        for i, verdict in enumerate(piece.scored.verdict):
            if verdict == 0 or verdict >= 5:            # fits and can be paid, targets aside
                rows.append((1 / piece.times.tpot[i],
                             piece.scored.tokens_per_s[i] / piece.scored.chips[i],
                             -piece.scored.usd_per_mtok[i]))
    points = np.array(rows)
    best = {tuple(p) for p in points
            if not ((points >= p).all(axis=1) & (points > p).any(axis=1)).any()}
    assert {tuple(p) for p in found.frontier_points} == best
    assert len(found.frontier_keys()) == len(best)


def test_counts_and_least_times(swept):
    _, found, pieces = swept
    timed = sum(len(piece.batch) for piece, _ in pieces)
    unfit = sum(r.count for (_, reason), r in found.rejected.items() if reason == "memory")
    assert found.evaluated == timed + unfit
    assert found.feasible == sum(int((p.scored.verdict == 0).sum()) for p, _ in pieces)
    assert all(len(piece.batch) <= PIECE for piece, _ in pieces)


def test_every_row_that_could_be_best_is_a_candidate(swept):
    _, found, pieces = swept
    sure = min(float(p.high.objective[p.high.verdict == 0].min(initial=np.inf))
               for p, _ in pieces)
    wanted = {Key(p.model, int(np.asarray(p.setting)[i]), int(p.batch[i]))
              for p, _ in pieces for i in range(len(p.batch))
              if p.low.verdict[i] == 0 and p.low.objective[i] <= sure}
    kept = found.candidates()
    assert {key for _, _, key in kept} == wanted
    assert [c[0] for c in kept] == sorted(c[0] for c in kept)


def test_a_row_by_itself_is_the_row_of_its_piece(swept):
    asked, _, pieces = swept
    piece, model = next((p, m) for p, m in pieces if isinstance(m, Aggregated))
    for i in (0, 3, len(piece.batch) - 1):
        times, scored = row_of(model, asked.goal, int(np.asarray(piece.setting)[i]),
                               int(piece.batch[i]))
        assert times.tpot[0] == piece.times.tpot[i]
        assert scored.objective[0] == piece.scored.objective[i]
        assert scored.verdict[0] == piece.scored.verdict[i]


def test_a_family_is_turned_down_only_when_none_of_it_will_do(swept):
    _, found, pieces = swept
    good = {model.family for piece, model in pieces if (piece.scored.verdict == 0).any()}
    assert found.good_families == good
