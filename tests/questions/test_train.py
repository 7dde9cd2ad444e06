import dataclasses

import pytest

from ridgeline.errors import BadInput, Infeasible, UnknownName
from ridgeline.questions.train import TrainAsk, best_layout, train
from ridgeline.questions.train_parts import train_figure
from ridgeline.report.figure import Bar
from ridgeline.training.layout import Layout

KEYS = {"step_s", "tokens_per_s_per_chip", "mfu", "hfu", "bubble_share", "memory_bytes", "fits",
        "days", "usd", "mwh", "flop"}
SMALL = TrainAsk("Llama-3.1-8B", "8xH100-SXM", 1e11, 8192, 1e6, Layout(dp=0, recompute="full"))


def laid(ask: TrainAsk, **fields: object) -> TrainAsk:
    return dataclasses.replace(ask, layout=dataclasses.replace(ask.layout, **fields))


def rows(ask: TrainAsk, name: str) -> dict[str, list[object]]:
    table = next(t for t in train(ask).tables if t.name == name)
    return {str(row[0]): list(row[1:]) for row in table.rows}


def test_a_run() -> None:
    answer = train(TrainAsk("Llama-3.1-70B", "1024xH100-SXM", 2e12, 8192, 16e6,
                            Layout(8, 4, 0), usd_per_chip_hour=2.0))
    assert set(answer.quantities) >= KEYS
    assert answer["fits"] is True
    assert 0.35 < answer.value("mfu") < 0.6
    days, seconds = answer.value("days"), answer.value("days") * 86400
    rate = answer.value("tokens_per_s_per_chip") * 1024 * answer.value("goodput")
    assert rate * seconds == pytest.approx(2e12)
    assert answer.value("usd") == pytest.approx(days * 24 * 1024 * 2)
    assert answer.value("mwh") == pytest.approx(1024 * 0.7 * 1.2 * days * 24 / 1e3)
    assert answer.value("flop") == pytest.approx(2e12 * 6 * 70.55e9, rel=0.1)
    memory = {row[0]: row[1] for row in answer.tables[1].rows}
    assert sum(memory.values()) == pytest.approx(answer.value("memory_bytes"))


def test_derivations_reach_the_numbers_of_the_answer() -> None:
    answer = train(TrainAsk("Llama-3.1-70B", "64xH100-SXM", 1e12, 8192, 4e6, Layout(8, 4, 0)))
    found = {d.name: d.result.value for d in answer.derivation}
    assert found["run_seconds"] == pytest.approx(answer.value("days") * 86400)
    assert found["goodput"] == pytest.approx(answer.value("goodput"))
    assert found["model_flop_utilisation"] == pytest.approx(answer.value("mfu"))
    assert found["run_energy"] / 3.6e9 == pytest.approx(answer.value("mwh"))
    assert found["run_cost"] == pytest.approx(answer.value("usd"))
    # Equal stages wait less than these, of which the last has the head.
    assert 0 < found["interleaved_pipeline_bubble"] <= answer.value("bubble_share")


def test_recomputation_raises_hfu_over_mfu() -> None:
    answer = train(SMALL)
    assert answer.value("hfu") == pytest.approx(answer.value("mfu") * 4 / 3)


def test_what_does_not_fit_says_by_how_much() -> None:
    answer = train(TrainAsk("Llama-3.1-70B", "8xH100-SXM", 1e11, 4096, 1e6, Layout(8, 1, 0)))
    assert answer["fits"] is False
    assert "short" in str(answer["bound"])


@pytest.mark.parametrize(("layout", "says"), [
    (Layout(tp=3, pp=8, dp=2), "Nearest valid"), (Layout(8, 100, 0), "Nearest|stages|chips"),
    (Layout(schedule="gpipe"), "schedule"), (Layout(8, 4, 0, zero=2), "zero 2.*Nearest"),
    (Layout(recompute="some"), "recompute"), (Layout(0, 1, 0), "tp must be at least 1"),
    (Layout(8, 1, 8, ep=4), "dense"),
])
def test_impossible_layouts_are_refused(layout: Layout, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        train(TrainAsk("Llama-3.1-70B", "64xH100-SXM", 1e11, 8192, 2e6, layout))


def test_the_layout_offered_is_near_and_works() -> None:
    ask = TrainAsk("Llama-3.1-8B", "64xH100-SXM", 1e11, 4096, 4e6, Layout(dp=3))
    with pytest.raises(BadInput, match="Nearest valid: tp 1, pp 1, dp 64, cp 1"):
        train(ask)
    assert train(laid(ask, dp=64, recompute="full"))["fits"] is True
    with pytest.raises(BadInput, match=r"Nearest valid: tp [24], pp 1, dp (16|32)"):
        train(laid(ask, tp=3, dp=0))


def test_adapters_train_little_and_keep_no_gradients_of_the_rest() -> None:
    full, lora = train(SMALL), train(dataclasses.replace(SMALL, adapter_rank=16))
    packed = train(dataclasses.replace(SMALL, adapter_rank=16, frozen="nf4"))
    # LoRA on every matrix of Llama-3.1-8B at rank 16: 41.9 M parameters.
    assert lora.value("trained_params") == pytest.approx(41.94e6, rel=0.005)
    assert packed.value("memory_bytes") < lora.value("memory_bytes") < full.value("memory_bytes")
    # Widening packed weights costs time; skipping weights' gradients saves it.
    assert lora.value("step_s") < packed.value("step_s")
    assert lora.value("step_s") < full.value("step_s")
    assert lora.value("flop") == pytest.approx(full.value("flop") * 2 / 3)
    held = rows(dataclasses.replace(SMALL, adapter_rank=16, frozen="nf4"), "memory")
    # 4.13 bits for the layers' matrices, 16 for the embedding and the head.
    layers, ends = 8_030_261_248 - 2 * 128256 * 4096, 2 * 128256 * 4096
    assert held["frozen weights"][0] == pytest.approx(layers * 4.13 / 8 + ends * 2, rel=0.01)


def test_reversible_layers_keep_one_layer_and_pay_a_forward_pass() -> None:
    full, reversible = train(SMALL), train(laid(SMALL, recompute="reversible"))
    assert reversible.value("step_s") == pytest.approx(full.value("step_s"))
    assert reversible.value("memory_bytes") < full.value("memory_bytes")
    # The inverse is run: 32 layers back from their outputs in fp32.
    assert 0 < reversible.value("round_trip_error") < 1e-5
    deeper = [rows(laid(dataclasses.replace(SMALL, model=m), recompute="reversible"), "memory")
              ["activations"][0] for m in ("Llama-3.1-8B", "Llama-3.1-70B")]
    # Depth is free: only the width differs, twice as large, and the feed-forward's.
    assert deeper[1] / deeper[0] == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize("machine", ["64xB200-SXM", "64xH100-SXM"])
def test_narrow_formats_are_faster_but_never_by_their_peaks(machine: str) -> None:
    ask = TrainAsk("Llama-3.1-70B", machine, 1e11, 8192, 4e6, Layout(4, 4, 0))
    wide = train(ask).value("step_s")
    fp8 = train(dataclasses.replace(ask, precision="fp8")).value("step_s")
    assert wide / 2 < fp8 < wide
    if machine.startswith("64xH"):
        with pytest.raises(BadInput, match="no fp4 matrix rate"):
            train(dataclasses.replace(ask, precision="nvfp4"))
    else:
        assert wide / 4 < train(dataclasses.replace(ask, precision="nvfp4")).value("step_s") < wide


def test_collectives_that_leave_a_domain_are_named_and_cost_more() -> None:
    ask = TrainAsk("Qwen3-30B-A3B", "64xH100-SXM", 1e11, 4096, 4e6, Layout(dp=0, ep=8))
    wide = laid(ask, ep=64)
    assert rows(ask, "groups")["expert"][2] == "scale-up"
    assert rows(wide, "groups")["expert"][2:] == ["scale-out", 8]
    assert rows(wide, "step")["expert parallel"][0] > rows(ask, "step")["expert parallel"][0]


def test_failures_as_in_llama_3() -> None:
    """arXiv 2407.21783, section 3.3.4: 419 unexpected interruptions in 54 days on 16,384 chips,
    effective training time above 90 %; storage sustains 2 TB/s."""
    ask = TrainAsk("Llama-3.1-405B", "16384xH100-SXM", 15.6e12, 8192, 2048 * 8192.0,
                   Layout(8, 16, 128, vp=4), storage_bandwidth=2e12)
    answer = train(ask)
    assert answer.value("failures") / answer.value("days") == pytest.approx(419 / 54, rel=0.001)
    assert answer.value("checkpoint_s") == pytest.approx(14 * 405.85e9 / 2e12, rel=0.005)
    assert 0.90 < answer.value("goodput") < 0.95
    # Rarer failures and faster storage leave more.
    steadier = dataclasses.replace(ask, chip_mtbf=10 * ask.chip_mtbf)
    assert train(steadier).value("goodput") > answer.value("goodput")
    slower = dataclasses.replace(ask, storage_bandwidth=1e11)
    assert train(slower).value("goodput") < answer.value("goodput")


def test_deepseek_s_own_run_is_predicted_within_the_interval() -> None:
    """14.8T tokens in 2.664 M H800-hours (arXiv 2412.19437, table 1): 1,543 tokens/s of a chip.
    The run is in no fit."""
    answer = train(TrainAsk("DeepSeek-V3", "2048xH800-SXM", 14.8e12, 4096, 15360 * 4096.0,
                            Layout(1, 16, 0, ep=64, schedule="zero-bubble"), "fp8"))
    rate = answer["tokens_per_s_per_chip"]
    assert rate.low < 14.8e12 / (2.664e6 * 3600) < rate.high


def test_levers_help_when_taken() -> None:
    ask = TrainAsk("Llama-3.1-70B", "64xH100-SXM", 1e11, 8192, 4e6, Layout(8, 4, 0))
    table = next(t for t in train(ask).tables if t.name == "levers")
    gains = {str(row[0]): row[1] for row in table.rows}
    assert gains["fp8 training"] == pytest.approx(
        train(ask).value("step_s")
        / train(dataclasses.replace(ask, precision="fp8")).value("step_s"))
    assert list(gains.values()) == sorted(gains.values(), reverse=True)


def test_the_figure_stacks_the_whole_step() -> None:
    answer = train(SMALL)
    figure = train_figure(answer)
    assert figure.stacked
    bars = [s for s in figure.series if isinstance(s, Bar)]
    assert sum(bar.y[0] for bar in bars) == pytest.approx(1.0)
    assert sum(bar.y[1] for bar in bars) * 80e9 == pytest.approx(
        answer.value("memory_bytes"), rel=0.1)


def test_fields_are_read_by_name() -> None:
    ask = TrainAsk.from_fields({"model": "Llama-3.1-8B", "machine": "8xH100-SXM", "tokens": "2T",
                                "tp": "8", "zero": 3, "recompute": "full"})
    assert ask.tokens == 2e12
    assert (ask.layout.tp, ask.layout.dp, ask.layout.zero) == (8, 0, 3)
    with pytest.raises(UnknownName, match="did you mean"):
        TrainAsk.from_fields({"model": "m", "machine": "x", "tokens": 1, "optimiser": "adamw"})


@pytest.mark.parametrize("fields", [
    {"tokens": -1}, {"tokens": "nan"}, {"tokens": "many"}, {"seq": 0}, {"seq": 0.5},
    {"batch_tokens": 0}, {"batch_tokens": 100}, {"pue": 0}, {"restart": -1}, {"chip_mtbf": 0},
    {"adapter_rank": 0}, {"adapter_rank": 1e6}, {"frozen": "nf4"},
    {"frozen": "nf5", "adapter_rank": 4},
    {"optimizer": "adam"}, {"precision": "fp6"}, {"model": "nobody"}, {"machine": "8xH1OO"},
    {"storage_bandwidth": 1.0}, {"tp": 1.5}, {"usd_per_chip_hour": -2},
])
def test_nonsense_is_refused_in_one_line(fields: dict[str, object]) -> None:
    base = {"model": "Llama-3.1-8B", "machine": "8xH100-SXM", "tokens": 1e11, "seq": 8192}
    with pytest.raises(BadInput) as caught:
        train(TrainAsk.from_fields(base | fields))
    assert "\n" not in str(caught.value)


def test_a_search_rounds_the_batch_so_that_replicas_can_share_it() -> None:
    asked = TrainAsk("Llama-3.1-8B", "32xH100-SXM", 1e11, 4096, 8e6)
    best = best_layout(asked)
    assert best.batch_tokens == pytest.approx(8e6, rel=0.03)
    assert (best.batch_tokens / 4096) % (best.layout.dp * best.layout.micro_batch) == 0
    with pytest.raises(Infeasible, match="smallest takes"):
        best_layout(dataclasses.replace(asked, model="Llama-3.1-405B", machine="8xH100-SXM"))
