"""The fit of the training step model finds what made the data and predicts what it never saw."""

import dataclasses
import json

import numpy as np
import pytest

from ridgeline.measure.fit import training
from ridgeline.measure.truth.reader import read_table
from ridgeline.measure.validate.training_rows import case_of, reported_flop_per_token
from ridgeline.timing.constants import constants_text
from ridgeline.training.constants import shipped, spread
from ridgeline.training.step_time import PRIORS, Constants, step_time
from ridgeline.truth_data import shipped_file

ROWS = read_table(shipped_file("training_throughput.csv.xz")).dicts()


@pytest.fixture(scope="module")
def seen() -> list[training.Observation]:
    return training.observations(ROWS)


def test_most_rows_are_answered_and_the_rest_say_why(seen: list[training.Observation]) -> None:
    assert len(seen) >= 415
    silent = [row for row in ROWS if row["framework"] == "LitGPT"]
    with pytest.raises(ValueError, match="no parallel layout"):
        case_of(silent[0])


def test_constants_that_made_the_rates_are_found_again(
        seen: list[training.Observation]) -> None:
    made = Constants({n: p[0] * (0.9 if p[2] <= 1 else 1.3) for n, p in PRIORS.items()}, {})
    few = [dataclasses.replace(o, rate=float(
        o.case.batch.tokens / o.case.cluster.n_chips / step_time(o.case, made, o.work).step))
        for o in seen[::4]]
    before = np.abs(training.log_ratios(few, Constants.prior()))
    after = np.abs(training.log_ratios(few, training.fit(few)))
    assert np.median(after) < 0.02 < np.median(before)


def test_slopes_of_many_constants_at_once_are_those_of_each(
        seen: list[training.Observation]) -> None:
    few = seen[::40]
    for name in ("matmul_Ampere_bf16", "launch", "exposed_data"):
        both = np.array([1.0, 1.01]) * PRIORS[name][0]
        prior = Constants.prior()
        together = training.log_ratios(few, Constants({**prior.values, name: both}, {}))
        alone = training.log_ratios(few, Constants({**prior.values, name: float(both[1])}, {}))
        assert together[:, 1] == pytest.approx(alone)
        assert (together[:, 1] != together[:, 0]).any()


def test_a_model_that_the_fit_never_saw(seen: list[training.Observation]) -> None:
    for model in ("GPT 200B (vocab 250k)", "LLAMA3_70B"):
        mine = [o for o in seen if o.model == model]
        left = training.log_ratios(mine, training.fit([o for o in seen if o.model != model], 6))
        assert len(mine) >= 8 and np.median(np.abs(np.expm1(left))) < 0.20, model


def test_errors_on_what_was_held_out_are_within_the_goals() -> None:
    stored = json.loads(constants_text("accuracy.json") or "{}")["training"]
    models = stored["model held out"]
    assert models["n"] >= 415
    assert models["median_ape_pct"] <= 12 and models["dense_bf16_median_ape_pct"] <= 8
    assert abs(models["bias_pct"]) < 3
    assert stored["device held out"]["median_ape_pct"] < 16


def test_intervals_hold_the_measured_rates(seen: list[training.Observation]) -> None:
    off = training.log_ratios(seen, shipped())
    inside = []
    for o, ratio in zip(seen, off, strict=True):
        low, high, _, _ = spread(bool(o.case.architecture.params_by_role.get("expert")))
        inside.append(np.log(low) <= ratio <= np.log(high))
    # The spread is that of models held out, so rows of the fit lie inside more often than 80 %.
    assert 0.80 < np.mean(inside) < 0.95


@pytest.mark.parametrize(("part", "most"), [("offload", 0.05), ("packed_bytes", 0.12)])
def test_host_steps_and_packed_weights_are_priced(
        seen: list[training.Observation], part: str, most: float) -> None:
    mine = [o for o in seen if getattr(o.case, part)]
    off = np.abs(np.expm1(training.log_ratios(mine, shipped())))
    assert len(mine) >= 6 and np.median(off) < most


def test_the_whole_attention_is_counted_where_the_source_does() -> None:
    row = next(r for r in ROWS if r["framework"].startswith("NeMo")
               and r["seq_len_tokens"] == 131072 and r["tp"])
    case = case_of(row)
    causal = reported_flop_per_token(dataclasses.replace(case, framework="megatron_bridge"))
    assert 1.7 < reported_flop_per_token(case) / causal < 2.0
