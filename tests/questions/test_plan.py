"""The best deployment: equal to a loop over `estimate`, exact frontiers, laws, refusals."""

import itertools
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ridgeline
from ridgeline.errors import BadInput, Infeasible, UnknownName
from ridgeline.questions.estimate import estimate
from ridgeline.questions.plan import PlanAsk, plan, plan_figure
from ridgeline.questions.plan_ask import planned
from ridgeline.scenario import Scenario
from ridgeline.search.rated import Rated, rated
from ridgeline.search.space import Shape, shapes

SMALL = (1, 4, 16, 48, 96)


def best(model, on=(), **fields):
    return ridgeline.plan(model, on, **{"mode": "aggregated", **fields}).to_dict()["answer"]["best"]


def loop_over_estimate(ask):
    """Every replica and batch of the space, one `estimate` each: slow and obvious."""
    asked, rows = planned(ask), []
    for offer in asked.space.offers:
        for shape in shapes(asked.space.architecture, offer, asked.space.choices):
            if not isinstance(shape, Shape):
                continue
            one = rated(asked.space.architecture, shape, asked.requests, asked.space.chunks, 1024)
            if not isinstance(one, Rated):
                continue
            copies = offer.cluster.n_chips // shape.chips
            for (chunk, room), batch in itertools.product(
                    zip(one.budgets, one.rooms, strict=True), asked.space.batches):
                if batch > room:
                    continue
                plan_ = shape.deployment
                answer = estimate(Scenario.from_fields({
                    "model": ask.model, "machine": offer.machine(shape.chips * copies),
                    "tp": plan_.tp, "pp": plan_.pp, "ep": plan_.ep, "dp": copies,
                    "attention_dp": plan_.attention_dp, "engine": plan_.engine,
                    "max_num_batched_tokens": chunk, "prompt": ask.prompt, "output": ask.output,
                    "concurrency": batch * copies}), advice=False)
                if answer.value("ttft_s") <= ask.ttft and answer.value("tpot_s") <= ask.tpot:
                    rate = answer.value("output_tokens_per_s") * (1 + ask.prompt / ask.output)
                    usd = offer.usd_per_chip_hour * shape.chips * copies / 3600 / rate * 1e6
                    rows.append((usd, answer.value("e2e_s"), plan_.tp, plan_.pp, batch, chunk,
                                 answer.value("ttft_s"), answer.value("tpot_s")))
    return rows


@pytest.mark.parametrize(("model", "on", "fields"), [
    ("Llama-3.1-8B", ("4xH100-SXM",), {"prompt": 2000, "output": 300, "tpot": 0.02}),
    ("Llama-3.1-70B", ("8xH200-SXM",), {"prompt": 4000, "output": 500, "ttft": 2.0,
                                        "tpot": 0.05}),
    ("Qwen3-30B-A3B", ("2xH100-SXM", "2xL40S"), {"prompt": 1000, "output": 200, "tpot": 0.03,
                                                 "engines": ("sglang",)}),
])
def test_the_best_is_that_of_a_loop_over_estimate(model, on, fields):
    ask = PlanAsk(model, on, batches=SMALL, mode="aggregated", **fields)
    rows = loop_over_estimate(ask)
    found = plan(ask)
    row = found.best
    usd, e2e, tp, pp, batch, chunk, ttft, tpot = min(rows)
    assert row.usd_per_mtok == pytest.approx(usd, rel=1e-9)
    assert (row.main.deployment.tp, row.main.deployment.pp) == (tp, pp)
    assert (row.batch, row.chunk) == (batch, chunk)
    assert row.ttft == pytest.approx(ttft, rel=1e-9)
    assert row.tpot == pytest.approx(tpot, rel=1e-9)
    fast = plan(PlanAsk(model, on, batches=SMALL, mode="aggregated", minimize="latency", **fields))
    assert fast.best.e2e == pytest.approx(min(r[1] for r in rows), rel=1e-9)
    assert e2e >= fast.best.e2e


def test_llama_70b_on_8_h100_for_latency_is_tp_8_and_the_text_says_why():
    answer = ridgeline.plan("Llama-3.1-70B", "8xH100-SXM", prompt=4000, output=1000,
                            minimize="latency")
    row = answer.to_dict()["answer"]["best"]
    assert (row["tp"], row["pp"], row["mode"], row["batch"]) == (8, 1, "aggregated", 1)
    full = max(answer.to_dict()["answer"]["frontier"],
               key=lambda r: r["output_tokens_per_s_per_chip"])
    assert full["tp"] < 8 or full["mode"] == "disaggregated"
    assert full["batch"] > 16
    assert any("Latency and throughput want different things" in note for note in answer.notes)
    assert any("Pipeline stages read in turn" in note for note in answer.notes)


@settings(max_examples=6, deadline=None)
@given(tpot=st.floats(0.012, 0.1), tighter=st.floats(0.5, 1.0))
def test_tightening_a_target_never_improves_the_best(tpot, tighter):
    def value(target):
        try:
            return best("Llama-3.1-8B", ("2xH100-SXM", "2xL40S"), prompt=1000, output=200,
                        tpot=target, batches=SMALL)["usd_per_mtok"]
        except Infeasible:
            return math.inf

    assert value(tpot * tighter) >= value(tpot) * (1 - 1e-9)


@settings(max_examples=3, deadline=None)
@given(rate=st.floats(0.5, 20.0), budget=st.floats(5.0, 100.0), more=st.floats(1.0, 3.0))
def test_more_budget_and_more_chip_types_never_worsen_the_best(rate, budget, more):
    def value(on, limit, minimize):
        try:
            row = best("Llama-3.1-8B", on, prompt=1000, output=200, rate=rate, budget=limit,
                       ttft=3.0, tpot=0.05, batches=(16, 64), minimize=minimize)
        except Infeasible:
            return math.inf
        return row["usd_per_hour"] if minimize == "cost" else row["e2e_s"]

    one, both = ("4xH100-SXM",), ("4xH100-SXM", "2xL40S")
    for minimize in ("cost", "latency"):
        assert value(one, budget * more, minimize) <= value(one, budget, minimize) * (1 + 1e-9)
        assert value(both, budget, minimize) <= value(one, budget, minimize) * (1 + 2e-6)


def test_a_rate_is_carried_with_room_to_spare_within_the_budget():
    row = best("Llama-3.1-8B", "16xH100-SXM", prompt=1000, output=200, rate=30.0, ttft=1.0,
               tpot=0.03)
    served = row["concurrency"] / row["e2e_s"]
    assert served >= 30.0 * (1 - 1e-6)
    assert row["chips"] == row["dp"] * row["tp"] * row["pp"]
    assert 0 < row["utilisation"] < 1
    assert row["ttft_s"] <= 1.0
    assert row["tpot_s"] <= 0.03
    assert row["usd_per_hour"] == pytest.approx(row["chips"] * (1.99 + 6.88) / 2)
    less = best("Llama-3.1-8B", "16xH100-SXM", prompt=1000, output=200, rate=3.0, ttft=1.0,
                tpot=0.03)
    assert less["usd_per_hour"] <= row["usd_per_hour"]


def test_a_rates_waits_are_those_of_the_simulator():
    """The closed form of an open stream against requests served one by one."""
    from ridgeline.questions.simulate import answer_of, run_simulation
    from ridgeline.questions.simulation import Asked

    for model, on, work, rate in (
            ("Llama-3.1-8B", "2xH100-SXM", {"prompt": 1000, "output": 200}, 20.0),
            ("Llama-3.1-70B", "8xH100-SXM", {"prompt": 4000, "output": 500}, 1.5)):
        row = best(model, on, rate=rate, minimize="latency", **work)
        asked = Asked(rate=rate, requests=2000)
        done = answer_of(run_simulation(Scenario.from_fields({
            "model": model, "machine": row["machine"], **work,
            **{k: row[k] for k in ("tp", "pp", "dp", "max_num_batched_tokens")}}), asked), asked)
        assert row["ttft_s"] == pytest.approx(done.value("ttft_mean_s"), rel=0.25)
        # The batch is the next of the ladder, so tokens are rather promised late than early.
        assert done.value("tpot_mean_s") * 0.95 < row["tpot_s"] < done.value("tpot_mean_s") * 1.3


def test_prices_of_tokens_add_up_to_the_rent():
    row = best("Llama-3.1-8B", "4xH100-SXM", prompt=3000, output=300, prefix_hit=0.5, tpot=0.03)
    tokens = row["output_tokens_per_s"]
    paid = (row["usd_per_mtok_output"] * tokens
            + row["usd_per_mtok_input"] * tokens / 300 * 1500) * 3600 / 1e6
    assert paid == pytest.approx(row["usd_per_hour"], rel=1e-6)
    assert 0 < row["usd_per_mtok_cached"] < row["usd_per_mtok_input"]
    assert row["usd_per_mtok"] * tokens * 11 * 3600 / 1e6 == pytest.approx(row["usd_per_hour"])


def test_speculation_shortens_a_token_and_names_its_source():
    plain = best("Llama-3.1-70B", "8xH100-SXM", minimize="latency", batches=(1, 4))
    fast = ridgeline.plan("Llama-3.1-70B", "8xH100-SXM", minimize="latency", batches=(1, 4),
                          mode="aggregated", draft_length=3, acceptance="kimi-k2.5-eagle3")
    row = fast.to_dict()["answer"]["best"]
    assert plain["tpot_s"] / 2.88 < row["tpot_s"] < plain["tpot_s"] / 1.5
    assert row["tpot_s"] >= row["tpot_floor_s"]
    assert any("SPEED-Bench" in note for note in fast.notes)


def test_spread_lengths_need_more_than_equal_ones():
    fields = {"output": 300, "ttft": 1.0, "tpot": 0.03, "batches": SMALL}
    even = best("Llama-3.1-8B", "2xH100-SXM", prompt="uniform:2000,2000", **fields)
    wide = best("Llama-3.1-8B", "2xH100-SXM", prompt="lognormal:2000,1.2", **fields)
    assert wide["usd_per_mtok"] >= even["usd_per_mtok"] * 0.98
    traced = best("Llama-3.1-8B", "2xH100-SXM", trace="azure-conv", **{
        k: v for k, v in fields.items() if k != "output"})
    assert traced["tpot_s"] <= 0.03


def test_every_surface_and_key():
    answer = ridgeline.plan("Llama-3.1-8B", ("2xH100-SXM", "2xA100-SXM-80GB"), prompt=1000,
                            output=100, tpot=0.03, formats=("bf16", "fp8"), batches=(1, 8, 64),
                            explain=True)
    data = json.loads(json.dumps(answer.to_dict(), allow_nan=False))["answer"]
    assert data["evaluated"]["value"] > data["feasible"]["value"] > 0
    wanted = {"chip", "chips", "tp", "pp", "ep", "dp", "attention_dp", "weights", "kv", "batch",
              "engine", "mode", "ttft_s", "tpot_s", "output_tokens_per_s_per_chip",
              "usd_per_mtok_output", "usd_per_mtok_input"}
    for row in (data["best"], *data["frontier"], *data["runner_ups"]):
        assert wanted <= set(row)
    assert all({"reason", "count", "example"} <= set(r) for r in data["rejected"])
    points = [(1 / r["tpot_s"], r["output_tokens_per_s_per_chip"], -r["usd_per_mtok"])
              for r in data["frontier"]]
    for a, b in itertools.permutations(points, 2):
        assert not all(x >= y for x, y in zip(a, b, strict=True))
    assert data["best"]["ttft_low_s"] <= data["best"]["ttft_s"] <= data["best"]["ttft_high_s"]
    assert answer.derivation
    assert plan_figure(answer).series


def test_families_that_lose_say_by_how_much():
    answer = ridgeline.plan("Llama-3.1-70B", "8xH100-SXM", mode="aggregated", prompt=4000,
                            output=200, tpot=0.02)
    rejected = {r["family"]: r for r in answer.to_dict()["answer"]["rejected"]}
    assert rejected["H100-SXM tp=2"]["reason"] == "tpot"
    assert "fits, TPOT" in rejected["H100-SXM tp=2"]["example"]
    small = ridgeline.plan("Llama-3.1-70B", ("8xH100-SXM", "2xL40S"), mode="aggregated",
                           prompt=4000, output=200)
    rejected = {r["family"]: r for r in small.to_dict()["answer"]["rejected"]}
    assert "does not fit" in rejected["L40S tp=1"]["example"]
    assert "short a chip" in rejected["L40S tp=1"]["example"]


@pytest.mark.parametrize(("on", "output", "said"), [
    ("1xH100-SXM", 100, "no two replicas fit side by side"),
    ("4xH100-SXM", 1, "nothing to decode"),
])
def test_pools_apart_that_cannot_be_say_why(on, output, said):
    with pytest.raises(Infeasible, match=said):
        ridgeline.plan("Llama-3.1-8B", on, output=output, mode="disaggregated", batches=SMALL)


@pytest.mark.parametrize(("fields", "said"), [
    ({"rate": 1.0, "users": 5}, "not both"),
    ({"engines": ("vlm",)}, "did you mean 'vllm'"),
    ({"engines": ("llamacpp",)}, "plan searches vllm"),
    ({"formats": ("fp9",)}, "weights: unknown number format"),
    ({"minimize": "costs"}, "did you mean 'cost'"),
    ({"mode": "split"}, "unknown mode"),
    ({"prompt": "gauss:3,4"}, "unknown law of prompt lengths"),
    ({"prompt": "lognormal:2000"}, "lognormal needs a mean"),
    ({"prompt": 0}, "whole number of tokens"),
    ({"output": math.nan}, "whole number of tokens"),
    ({"ttft": 0.0}, "ttft must be a positive"),
    ({"tpot": math.nan}, "tpot must be a positive"),
    ({"budget": -3.0}, "budget must be a positive"),
    ({"rate": math.inf}, "rate must be a positive"),
    ({"prefix_hit": 1.0}, "share from 0 to below 1"),
    ({"batches": (0,)}, "batches must be whole"),
    ({"batches": ()}, "no batch to try"),
    ({"draft_length": 3}, "needs both"),
    ({"draft_length": 3, "acceptance": "1.5"}, "between 0 and 1"),
    ({"draft_length": 3, "acceptance": "eagle"}, "unknown acceptance table"),
    ({"prices": ("H100-SXM=-1",)}, "positive dollars"),
    ({"save": "rows.csv"}, ".parquet"),
    ({"on": ("8xH100-SXM", "4xH100-SXM")}, "offered twice"),
    ({"on": ("0xH100-SXM",)}, "not a number of chips"),
    ({"on": ("8xRTX-3090",)}, "has no rent"),
    ({"concurrency": 3}, "unknown field of a plan"),
    ({"trace": "azure-conv", "prompt": 300}, "leave out --prompt and --output"),
])
def test_nonsense_is_refused_in_one_line(fields, said):
    on = fields.pop("on", ("8xH100-SXM",))
    with pytest.raises(BadInput) as error:
        ridgeline.plan("Llama-3.1-8B", on, **fields)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_models_and_encoders():
    with pytest.raises(UnknownName, match="did you mean"):
        ridgeline.plan("Llama-3.1-8C", "H100-SXM")


@pytest.mark.parametrize(("on", "fields", "said"), [
    ("8xH100-SXM", {"tpot": 1e-4}, "the physical floor is"),
    ("8xH100-SXM", {"ttft": 1e-5}, "the physical floor is"),
    ("1xL4", {}, "short a chip"),
    ("8xH100-SXM", {"rate": 1e5}, "the load needs"),
    ("8xH100-SXM", {"budget": 1.0}, "$1.00/h"),
    ("8xH100-SXM", {"ttft": 0.1, "tpot": 0.008, "prompt": 4000}, "nearest"),
])
def test_the_impossible_says_how_near_it_came(on, fields, said):
    with pytest.raises(Infeasible) as error:
        ridgeline.plan("Llama-3.1-70B", on, **fields)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def few_chips(monkeypatch):
    """A catalog of five chips: the rest would only take time."""
    monkeypatch.setattr("ridgeline.catalog.list_names", lambda kind: [
        "H100-SXM", "L40S", "MI300X", "RTX-3090", "Trainium1"])


def test_no_machine_in_the_catalog_beats_physics(few_chips):
    with pytest.raises(Infeasible, match="no machine in the catalog can have a TPOT of"):
        ridgeline.plan("Llama-3.1-70B", (), tpot=1e-4, batches=(1,), mode="aggregated")


def test_pools_of_the_catalog_are_of_one_maker(few_chips):
    for row in ridgeline.plan("Llama-3.1-8B", (), prompt=2000, output=200, rate=4.0, tpot=0.05,
                              batches=(8, 32), mode="disaggregated").frontier:
        chips = {row.main.shape.offer.chip.vendor, row.prefill.shape.offer.chip.vendor}
        assert len(chips) == 1
        assert row.verdict == "meets"


def test_the_catalog_is_searched_for_the_cheapest(few_chips):
    row = best("Llama-3.1-8B", (), prompt=1000, output=200, rate=1.0, tpot=0.05, batches=(1, 8, 32))
    own = best("Llama-3.1-8B", "8xH100-SXM", prompt=1000, output=200, rate=1.0, tpot=0.05,
               batches=(1, 8, 32))
    assert row["usd_per_hour"] <= own["usd_per_hour"]
