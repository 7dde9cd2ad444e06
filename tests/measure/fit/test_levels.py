import numpy as np
import pytest

from ridgeline.measure.fit.levels import (
    Rows,
    covered,
    elsewhere,
    errors,
    fit_levels,
    held_out,
    predict_levels,
    spreads,
)
from ridgeline.timing.levels import Constant

CONSTANTS = (Constant("slow", 1.5, 1.0, 30.0, {"engine": 0.5, "device": 0.3}),
             Constant("fixed", 1e-3, 1e-6, 1.0, {"engine": 0.5}))
TRUE = {"a": 1.3, "b": 2.6}


def form(columns, constants):
    return columns["floor"] * constants["slow"] + constants["fixed"]


def made_up(noise=0.02, seed=3):
    """Rows of two engines on six devices, one of which is 30 % slow."""
    random = np.random.default_rng(seed)
    n = 240
    engine = np.array(["a", "b"], object)[np.arange(n) % 2]
    device = np.array([f"d{i}" for i in range(6)], object)[random.integers(0, 6, n)]
    floor = 10 ** random.uniform(-3, 0, n)
    slow = np.array([TRUE[e] for e in engine]) * np.where(device == "d5", 1.3, 1.0)
    seconds = (floor * slow + 2e-3) * np.exp(noise * random.standard_normal(n))
    return Rows({"floor": floor}, {"engine": engine, "device": device}, seconds,
                np.ones(n, bool))


def test_recovers_what_the_rows_were_made_with():
    rows = made_up()
    fitted = fit_levels(form, rows, CONSTANTS)
    for engine, slow in TRUE.items():
        assert fitted.values({"engine": engine, "device": "d0"})["slow"] == pytest.approx(
            slow, rel=0.06)
    assert fitted.offsets["slow"]["device=d5"] > 0.12
    assert fitted.values({"engine": "a"})["fixed"] == pytest.approx(2e-3, rel=0.15)
    error = np.abs(predict_levels(form, fitted, rows) / rows.seconds - 1)
    assert np.median(error) < 0.03


def test_the_same_rows_give_the_same_constants():
    first, second = (fit_levels(form, made_up(), CONSTANTS).to_json() for _ in range(2))
    assert first == second


def test_offsets_of_the_same_rows_share_what_is_found_by_their_usual_sizes():
    rows = made_up()
    twins = Rows(rows.columns, {**rows.keys, "kind": rows.keys["engine"]}, rows.seconds, rows.keep)
    both = {"engine": 0.4, "device": 0.3, "kind": 0.3}      # 0.4^2 + 0.3^2 = 0.5^2
    constants = (Constant("slow", 1.5, 1.0, 30.0, both), CONSTANTS[1])
    one, two = fit_levels(form, rows, CONSTANTS), fit_levels(form, twins, constants)
    whole = one.offsets["slow"]["engine=a"]
    assert two.offsets["slow"]["engine=a"] == pytest.approx(0.64 * whole, abs=1e-4)
    assert two.offsets["slow"]["kind=a"] == pytest.approx(0.36 * whole, abs=1e-4)
    assert np.allclose(predict_levels(form, one, rows), predict_levels(form, two, twins), rtol=1e-4)


def test_what_rows_say_nothing_of_stays_at_its_start():
    def flat(columns, constants):
        return form(columns, constants) + 0.0 * constants["idle"]

    idle = Constant("idle", 2.0, 0.1, 10.0, {"engine": 1.0})
    fitted = fit_levels(flat, made_up(), (*CONSTANTS, idle))
    assert fitted.values({"engine": "a"})["idle"] == pytest.approx(2.0)
    assert fitted.offsets["idle"] == {}


def test_few_odd_rows_do_not_move_the_rest():
    rows = made_up()
    odd = rows.seconds.copy()
    odd[::20] *= 8.0
    fitted = fit_levels(form, Rows(rows.columns, rows.keys, odd, rows.keep), CONSTANTS)
    assert fitted.values({"engine": "a", "device": "d0"})["slow"] == pytest.approx(1.3, rel=0.12)


def test_rows_not_worth_keeping_are_not_fitted():
    rows = made_up()
    keep = rows.keys["device"] != "d5"
    spoilt = np.where(keep, rows.seconds, rows.seconds * 100)
    fitted = fit_levels(form, Rows(rows.columns, rows.keys, spoilt, keep), CONSTANTS)
    assert "device=d5" not in fitted.offsets["slow"]


def test_held_out_groups_do_not_see_themselves():
    rows = made_up(noise=0.0)
    inside = predict_levels(form, fit_levels(form, rows, CONSTANTS), rows)
    outside = held_out(form, rows, CONSTANTS, rows.keys["device"], folds=6)
    slow = rows.keys["device"] == "d5"
    far = np.median(np.abs(np.log(outside[slow] / rows.seconds[slow])))
    near = np.median(np.abs(np.log(inside[slow] / rows.seconds[slow])))
    assert far > 0.15 > 2 * near


def test_widths_cover_what_they_say():
    random = np.random.default_rng(0)
    groups = np.array(["tight", "wide"], object)[np.arange(4000) % 2]
    residual = random.standard_normal(4000) * np.where(groups == "wide", 0.3, 0.1)
    found = spreads({"device": residual}, groups)
    for group in ("tight", "wide"):
        mine = np.exp(residual[groups == group])
        _, low, high, _ = found.ends("device", group)
        assert np.mean((mine >= low) & (mine <= high)) == pytest.approx(0.8, abs=0.04)


def test_coverage_is_judged_on_rows_the_widths_did_not_see():
    random = np.random.default_rng(1)
    groups = np.full(2000, "one", object)
    assert covered(random.standard_normal(2000), groups) == pytest.approx(80, abs=4)
    # Widths from one half say nothing of another distribution in the other half.
    mixed = np.where(np.arange(2000) % 2 == 0, 0.01, 1.0) * random.standard_normal(2000)
    assert covered(mixed, groups) < 70


def test_elsewhere_means_in_another_group():
    keys = {"engine": np.array(["a", "a", "b"], object)}
    rows = Rows({}, keys, np.ones(3), np.ones(3, bool))
    groups = np.array(["x", "y", "x"], object)
    assert elsewhere(rows, groups, "engine").tolist() == [True, True, False]
    assert elsewhere(rows, groups, "").all()


def test_errors_are_of_rates():
    found = errors(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 1.0]))
    assert found == {"n": 3, "median_ape_pct": 50.0, "p90_ape_pct": 90.0, "bias_pct": 0.0}
