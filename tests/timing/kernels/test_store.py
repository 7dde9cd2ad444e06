"""Looking constants up: nearest first, and the distance is told."""

import json

import pytest

from ridgeline.errors import BadInput
from ridgeline.machine import Chip
from ridgeline.timing.kernels.residual import Spread
from ridgeline.timing.kernels.store import Entry, Store, calibration_name, content


def _chip(name: str, architecture: str) -> Chip:
    return Chip(name, "NVIDIA", architecture, {"bf16": 1e15}, 8e10, 3e12)


def _entry(scope: str, target: str, backend: str, rows: int = 10, format: str = "bf16") -> Entry:
    spread = Spread.from_json({"edges": [], "quantiles": [[-0.2, -0.1, 0.1, 0.2]]})
    return Entry(scope, target, backend, format, "1", {"t0": 2e-6}, None, {"table": spread}, rows)


@pytest.fixture
def store() -> Store:
    entries = [_entry("chip", "H100-SXM", "vllm"), _entry("chip", "H100-SXM", "sglang", 20),
               _entry("architecture", "Hopper", "*"), _entry("all", "*", "*"),
               _entry("all", "*", "*", format="nvfp4")]
    return Store(json.loads(json.dumps(content("gemm", entries, "x"))))


@pytest.mark.parametrize(("chip", "backend", "expected", "distance"), [
    (("H100 SXM", "Hopper"), "vllm", ("chip", "H100-SXM", "vllm"), "table"),
    (("H100-SXM", "Hopper"), "trtllm", ("chip", "H100-SXM", "sglang"), "backend"),
    (("GH200", "Hopper"), "vllm", ("architecture", "Hopper", "*"), "architecture"),
    (("MI300X", "CDNA3"), "vllm", ("all", "*", "*"), "pooled"),
])
def test_it_walks_outward(store, chip, backend, expected, distance):
    entry, far = store.find(_chip(*chip), backend, ["bf16"])
    assert (entry.scope, entry.target, entry.backend) == expected
    assert far == distance


def test_stand_in_formats_come_after_the_one_asked(store):
    entry, far = store.find(_chip("H100-SXM", "Hopper"), "vllm", ["mxfp4", "nvfp4", "bf16"])
    assert entry.format == "nvfp4" and far == "pooled"


def test_unknown_format_names_those_known(store):
    with pytest.raises(BadInput, match=r"'int2'; there is: bf16, nvfp4"):
        store.find(_chip("H100-SXM", "Hopper"), "vllm", ["int2"])


def test_names_of_measured_chips():
    assert calibration_name("A100 SXM4 80GB") == "A100-SXM-80G"
    assert calibration_name("GB300 (per GPU)") == "GB300"
