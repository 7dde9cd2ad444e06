"""Sweeps as arrays: the same numbers as one by one, and a price step found where it was put."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.economics.surface import Speeds, decode_mesh, price_step, price_surface
from ridgeline.economics.token_cost import token_cost
from ridgeline.errors import BadInput
from ridgeline.questions.performance import deployed_of
from ridgeline.questions.resolve import Resolved, resolve
from ridgeline.questions.token_speeds import replica_speeds
from ridgeline.scenario import Scenario
from ridgeline.timing.roofline import step_bounds
from ridgeline.work.step import decode_step


def resolved(model: str = "Llama-3.1-8B", machine: str = "H100-SXM", **fields: Any) -> Resolved:
    return resolve(Scenario.from_fields({"model": model, "machine": machine, **fields}))


def test_a_mesh_is_the_table_point_by_point() -> None:
    table = deployed_of(resolved(context=32768)).table
    batches = np.array([1.0, 3.0, 17.5, 256.0, 900.0])
    contexts = np.array([1.0, 200.0, 4096.5, 30000.0, 60000.0])
    expected = table.seconds(sequences=batches[:, None], context=contexts[None, :])
    np.testing.assert_allclose(decode_mesh(table, batches, contexts), expected, rtol=1e-9)


@pytest.mark.parametrize(("model", "machine", "fields"), [
    ("Llama-3.1-8B", "H100-SXM", {}), ("Llama-3.1-70B", "8xA100-SXM-80GB", {}),
    ("gpt-oss-120b", "2xB200-SXM", {"engine": "sglang"}),
    ("DeepSeek-V3", "8xB200-SXM", {"ep": 8}), ("Qwen3-30B-A3B", "MI300X", {}),
])
def test_calibrated_steps_are_never_below_the_roofline(model: str, machine: str,
                                                       fields: dict[str, Any]) -> None:
    found = resolved(model, machine, context=65536, **fields)
    batches, contexts = np.array([1.0, 8.0, 64.0, 512.0]), np.array([128.0, 4096.0, 65536.0])
    speeds = replica_speeds(found, batches, contexts)
    replica = deployed_of(found)
    bounds = step_bounds(replica.ops(decode_step(sequences=batches[:, None],
                                                 context=contexts[None, :])), found.cluster)
    floor = np.broadcast_to(np.asarray(bounds.lower, float), speeds.decode.shape)
    assert np.all(speeds.decode >= floor * (1 - 1e-9))
    assert np.all(np.diff(speeds.decode, axis=0) > 0), "a larger batch takes longer"
    assert np.all(np.diff(speeds.decode, axis=1) >= 0), "a longer context takes longer"


def test_ideal_speeds_are_those_of_the_estimate() -> None:
    from ridgeline.questions.performance import decode_context, ideal_performance

    found = resolved(prompt=2000, output=500, concurrency=32)
    context = decode_context(found)
    speeds = replica_speeds(found, np.array([32.0]), np.array([context]), ideal=True)
    assert speeds.decode[0, 0] == pytest.approx(ideal_performance(found).tpot)


def test_prices_are_the_formula_and_blank_where_nothing_fits() -> None:
    speeds = Speeds(np.array([1.0, 4.0]), np.array([100.0, 1000.0]),
                    np.array([[0.01, 0.02], [0.02, 0.05]]), np.array([8.0, 2.0]),
                    np.array([1e4, 1e4]), 2)
    rents = np.array([1.0, 2.5])
    surface = price_surface(speeds, usd_per_chip_hour=rents, utilisation=0.5)
    assert surface.shape == (2, 2, 2)
    assert np.isnan(surface[1, 1]).all(), "four sequences of 1,000 tokens do not fit"
    for i, j, k in ((0, 0, 0), (0, 1, 1), (1, 0, 1)):
        wanted = token_cost(n_chips=2.0, usd_per_chip_hour=rents[k], utilisation=0.5,
                            throughput=speeds.batches[i] / speeds.decode[i, j])
        assert surface[i, j, k] == pytest.approx(wanted)


@given(st.integers(11, 18), st.floats(1.2, 20.0))
def test_a_step_is_found_where_it_was_put(octave: int, multiple: float) -> None:
    contexts = np.geomspace(1024, 2**20, 200)
    costs = np.where(contexts > 2.0**octave, multiple, 1.0)
    threshold, found = price_step(contexts, costs)
    assert abs(np.log2(threshold) - octave) < 0.4
    assert found == pytest.approx(multiple, rel=0.1)


@pytest.mark.parametrize("costs", [[1.0, 1.0], [1.0, np.nan, 1.0, 1.0], [1.0, 0.0, 1.0, 2.0]])
def test_a_step_needs_costs(costs: list[float]) -> None:
    with pytest.raises(BadInput, match="four contexts"):
        price_step(np.geomspace(10, 1000, len(costs)), np.array(costs))
