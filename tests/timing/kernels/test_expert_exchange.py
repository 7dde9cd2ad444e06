"""Expert exchange: copies counted by simulation, law 3, known measurements."""

import numpy as np
import pytest

from ridgeline.errors import BadInput, UnknownName
from ridgeline.machine.chip import Chip, Link
from ridgeline.timing.kernels.expert_exchange import (
    distinct,
    exchanged_bytes,
    expert_all_to_all_time,
)

NVLINK4 = Link("NVLink 4", 450e9, 1e-6)
NDR = Link("InfiniBand NDR", 50e9, 2e-6)
H100 = Chip("H100-SXM", "NVIDIA", "Hopper", {"bf16": 989e12}, 80e9, 3.35e12, domain_size=8,
            scale_up=NVLINK4, scale_out=NDR)
V3 = {"hidden": 7168, "top_k": 8, "experts": 256}


def test_distinct_places_match_a_draw():
    draw = np.random.default_rng(0).integers(0, 8, (20000, 8))
    counted = np.mean([len(set(row)) for row in draw.tolist()])
    assert distinct(places=8, top_k=8) == pytest.approx(counted, rel=0.01)


def test_one_node_sends_nothing_over_the_network():
    inside, across = exchanged_bytes(mode="low_latency", tokens=128, hidden=7168, top_k=8,
                                     group=8, nodes=1, bits=8)
    assert across == 0 and inside == pytest.approx(128 * 7168 * 8 * 7 / 8)


# DeepEP on H100-SXM, microseconds (AIConfigurator tables), 7168 wide, 8 of 256 experts.
@pytest.mark.parametrize(("mode", "phase", "tokens", "group", "nodes", "measured"), [
    ("normal", "dispatch", 4096, 8, 1, 491.2), ("normal", "combine", 4096, 8, 1, 972.5),
    ("low_latency", "dispatch", 128, 8, 1, 39.8), ("low_latency", "combine", 128, 64, 8, 304.7),
    ("normal", "dispatch", 4096, 32, 4, 1801.0)])
def test_measured_cases_come_back(mode, phase, tokens, group, nodes, measured):
    time = expert_all_to_all_time(H100, tokens=tokens, group=group, nodes=nodes, mode=mode,
                                  phase=phase, **V3)
    assert time.distance == "table"
    assert float(time.seconds) * 1e6 == pytest.approx(measured, rel=0.12)


@pytest.mark.parametrize("mode", ["normal", "low_latency"])
def test_law_three_and_shapes(mode):
    tokens = 2.0 ** np.arange(0, 18)
    group = np.array([8, 16, 64])[:, None]
    time = expert_all_to_all_time(H100, tokens=tokens, group=group, nodes=group // 8, mode=mode,
                                  bits_dispatch=4, bits_combine=8, **V3)
    inside, across = exchanged_bytes(mode=mode, tokens=tokens, hidden=7168, top_k=8, group=group,
                                     nodes=group / 8, bits=12)
    assert time.seconds.shape == (3, 18)
    assert (time.seconds >= np.maximum(inside / 450e9, across / 50e9) * (1 - 1e-9)).all()
    low, high = time.interval()
    assert (low <= high).all()


def test_both_phases_add_up():
    parts = [expert_all_to_all_time(H100, tokens=64, group=8, phase=p, mode="low_latency", **V3)
             for p in ("dispatch", "combine", "both")]
    assert float(parts[0].seconds + parts[1].seconds) == pytest.approx(float(parts[2].seconds))


@pytest.mark.parametrize(("change", "error"), [
    ({"mode": "fast"}, UnknownName), ({"phase": "send"}, UnknownName), ({"tokens": -1}, BadInput),
    ({"nodes": 16}, BadInput), ({"top_k": float("inf")}, BadInput)])
def test_nonsense_is_refused(change, error):
    good = {"tokens": 64, "group": 8, "nodes": 1, "mode": "normal", **V3}
    with pytest.raises(error):
        expert_all_to_all_time(H100, **{**good, **change})
