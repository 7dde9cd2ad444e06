"""`plan --explain`: floors of the pool that does the work, what drafts gain, the price."""

import pytest

import ridgeline
from ridgeline.questions.plan_ask import plan_ask, planned

ASK = {"prompt": 4000, "output": 300, "explain": True}


def explained(model="Llama-3.1-8B", on="4xH100-SXM", **fields):
    answer = ridgeline.plan(model, on, **ASK, **fields)
    return answer, {part.name: part for part in answer.derivation}


def test_floors_are_below_the_plan_and_the_price_is_its_price():
    answer, parts = explained(mode="aggregated")
    assert set(parts) == {"prefill", "decode_step", "token_cost"}
    assert parts["prefill"].result.value <= answer.best.ttft
    assert parts["decode_step"].result.value <= answer.best.tpot
    assert parts["token_cost"].result.value == pytest.approx(answer.best.usd_per_mtok, rel=1e-6)


def test_each_pool_has_the_floor_of_its_own_work():
    answer, parts = explained("Llama-3.1-70B", "8xH200", mode="disaggregated")
    chips = {name: {given.name: given.value for given in parts[name].inputs}["n_chips"]
             for name in ("prefill", "decode_step")}
    best = answer.best
    assert chips["prefill"] == best.prefill.shape.chips
    assert chips["decode_step"] == best.main.shape.chips
    assert "answer" not in parts["prefill"].title


def test_drafts_gain_what_the_formula_says():
    answer, parts = explained(draft_length=3, acceptance="0.8", batches=(4, 16))
    gain = parts["speculative_speedup"]
    given = {one.name: one.value for one in gain.inputs}
    assert given["tokens_per_step"] == pytest.approx(1 + 0.8 + 0.64 + 0.512)
    assert given["draft_tokens"] == 3
    assert given["verify_cost"] > 1
    assert gain.result.value == pytest.approx(
        given["tokens_per_step"] / (given["verify_cost"] + 3 * given["draft_cost"]))
    plain = ridgeline.plan("Llama-3.1-8B", "4xH100-SXM", prompt=4000, output=300, batches=(4, 16))
    assert answer.best.tokens_per_s_per_chip > plain.best.tokens_per_s_per_chip
    assert planned(plan_ask("Llama-3.1-8B", "4xH100-SXM", {"draft_length": 3, "acceptance": "0.8"})
                   ).requests.draft.length == 3
