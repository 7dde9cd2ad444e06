import json
import math
import sys

import pytest

from ridgeline.errors import BadInput
from ridgeline.explain.derivation import Given, derive
from ridgeline.quantity import Quantity
from ridgeline.timing.bounds import ridge_point
from ridgeline.timing.critical_batch import critical_batch_with_kv
from ridgeline.timing.speedups import speculative_tokens_by_position
from ridgeline.timing.textbook import decode_step

LLAMA = {"params_read": 70553706496, "active_params": 70553706496, "batch_size": 64,
         "context_length": 8192, "kv_bytes_per_token": 327680, "bytes_per_param": 2, "n_chips": 8,
         "peak_flops_per_s": Given(989.4e12, "datasheet", "H100 datasheet"),
         "memory_bandwidth": Quantity(3.35e12, 3.0e12, 3.4e12, "B/s", "measured")}


def test_result_equals_the_formula_and_every_input_keeps_where_it_stands() -> None:
    found = derive(decode_step, LLAMA)
    assert found.result.value == pytest.approx(11.676e-3, rel=1e-4)
    assert found.result.unit == "s"
    by_name = {i.name: i for i in found.inputs}
    assert list(by_name) == list(LLAMA)
    assert by_name["peak_flops_per_s"].source == "H100 datasheet"
    assert by_name["memory_bandwidth"].basis == "measured"
    assert by_name["batch_size"].basis == "assumed"
    assert by_name["kv_bytes_per_token"].unit == "B/token"


def test_equation_comes_from_the_function_itself_and_leaves_defaults_out() -> None:
    found = derive(decode_step, LLAMA)
    assert found.formula == ("decode_step = max(B * 2 * P_active / (n * C), "
                             "(b * P_read + B * L * k) / (n * W))")


def test_latex_is_made_on_request_and_needs_sympy(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sympy")
    given = {"peak_flops_per_s": 312e12, "memory_bandwidth": 2.039e12}
    found = derive(ridge_point, given)
    assert found.to_dict()["latex"] is None
    assert found.to_dict(latex=True)["latex"] == r"\mathrm{ridge\_point} = \frac{C}{W}"
    monkeypatch.setitem(sys.modules, "sympy", None)
    without = derive(ridge_point, given)
    assert without.latex is None
    assert without.formula == "ridge_point = C / W"


def test_text_fits_100_columns_and_names_sources_and_units() -> None:
    text = derive(decode_step, LLAMA).render()
    assert max(map(len, text.splitlines())) <= 100
    for part in ("11.68 ms", "3.350 TB/s", "70,553,706,496 param", "(datasheet: H100",
                 "source: Pope"):
        assert part in text


def test_intervals_of_independent_inputs_add_in_quadrature() -> None:
    found = derive(ridge_point, {
        "peak_flops_per_s": Quantity(100e12, 97e12, 103e12, "FLOP/s", "measured"),
        "memory_bandwidth": Quantity(1e12, 1e12 / 1.04, 1e12 / 0.96, "B/s", "measured")})
    assert found.result.value == 100
    # 3 % and 4 % make 5 %; bandwidth works the other way round.
    assert (found.result.low, found.result.high) == (pytest.approx(95), pytest.approx(105))
    assert "result: 100.0 FLOP/B (95.00 FLOP/B - 105.0 FLOP/B)" in found.render()
    exact = derive(ridge_point, {"peak_flops_per_s": 100e12, "memory_bandwidth": 1e12})
    assert exact.result.low == exact.result.high == 100


def test_infinite_results_and_sequences_survive_json() -> None:
    found = derive(critical_batch_with_kv, {
        "total_params": 7e10, "active_params": 7e10, "bytes_per_param": 2, "context_length": 1e5,
        "kv_bytes_per_token": 3e5, "peak_flops_per_s": 1e15, "memory_bandwidth": 3e12})
    assert math.isinf(found.result.value)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["result"]["value"] is None
    many = derive(speculative_tokens_by_position, {"acceptance_by_position": [0.8, 0.7]})
    assert many.to_dict()["inputs"][0]["value"] == [0.8, 0.7]
    assert "0.8, 0.7" in many.render()


@pytest.mark.parametrize(("inputs", "message"), [
    ({"peak_flops_per_s": 1e12}, "needs a value for: memory_bandwidth"),
    ({"peak_flops_per_s": 1e12, "memory_bandwith": 1e12}, "did you mean 'memory_bandwidth'"),
    ({"peak_flops_per_s": "fast", "memory_bandwidth": 1e12}, "'fast'; it must be a number"),
    ({"peak_flops_per_s": 1e12, "memory_bandwidth": 0}, "no value for these inputs")])
def test_bad_input_is_one_clear_line(inputs: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        derive(ridge_point, inputs)
