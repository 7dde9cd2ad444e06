"""Matrix products: never faster than physics, sane outside the data, right on measured shapes."""

import numpy as np
import pytest
import sympy

from ridgeline.catalog import list_names, load_chip
from ridgeline.errors import BadInput, UnknownName
from ridgeline.machine import Chip
from ridgeline.timing.kernels.gemm import STAND_INS, gemm_time
from ridgeline.timing.kernels.gemm_form import FORMATS, TILES, gemm_terms
from ridgeline.timing.kernels.store import EAGER, load

MEASURED = ["A100-SXM-80GB", "H100-SXM", "H200-SXM", "B200-SXM", "B300-SXM", "GB300",
            "RTX-PRO-6000"]
CONSTANTS = {"launch": 2e-6, "math": 0.8, "memory": 0.9, "reach": 1.0, "start": 5e-7, "fill": 0.3,
             "warm": 0.5, "quant_launch": 1e-6, "quant": 2.0}
SHAPE = {"peak": 1e15, "peak16": 1e15, "bandwidth": 3e12, "n_cores": 132.0, "l2_bytes": 5e7,
         "weight_bytes": 2.0, "operand_bytes": 2.0, "quantises": False, "tiles": TILES}


def _gpus() -> list[Chip]:
    chips = [load_chip(name) for name in list_names("chips")]
    return [c for c in chips if c.kind == "gpu" and {"bf16", "fp16"} & set(c.peaks)]


@pytest.mark.parametrize("format", list(STAND_INS))
def test_never_faster_than_physics_on_any_gpu_of_the_catalog(format):
    m, n, k = (a.ravel() for a in np.meshgrid(4.0 ** np.arange(9), [128.0, 2112, 16384, 65536],
                                              [64.0, 7168, 53248]))
    f = FORMATS[format]
    for chip in _gpus():
        best = max(chip.peaks.get(c, 0.0) for c in (*f.compute, "bf16", "fp16"))
        moved = n * k * f.weight_bytes + 2 * m * n + m * k * f.operand_bytes
        floor = np.maximum(2 * m * n * k / best, moved / chip.memory_bandwidth)
        seconds = gemm_time(chip, m=m, n=n, k=k, format=format).seconds
        assert np.all(seconds >= floor * (1 - 1e-12)), chip.name
        assert np.all(np.isfinite(seconds))


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.parametrize("format", ["bf16", "fp8"])
def test_more_work_never_takes_much_less_time(name, format):
    """Tile and kernel choice let time dip: in the measurements by 18 % at the median along m and
    by 31 % at the worst twentieth. Widths are multiples of 128, as those of models are; m starts
    at 2, since a single row has a slow kernel of its own (vLLM FP8 on B200: 25 us against 9).
    """
    sizes = np.unique(np.round(2 ** np.arange(1, 16.01, 0.25)))
    wide = np.unique(np.ceil(sizes / 128) * 128)
    for axis in ("m", "n", "k"):
        shape = {"m": 512.0, "n": 4096.0, "k": 4096.0, axis: sizes if axis == "m" else wide}
        t = gemm_time(load_chip(name), **shape, format=format).seconds
        assert np.min(t / np.maximum.accumulate(t)) > 0.67, axis


@pytest.mark.parametrize(("name", "tolerance"), [*((n, 0.02) for n in MEASURED), ("L40S", 0.05),
                                                 ("GB200", 0.05), ("MI300X", 0.1)])
def test_far_beyond_the_data_time_is_proportional_to_work(name, tolerance):
    t = gemm_time(load_chip(name), m=2.0 ** np.array([20, 21, 22]), n=8192, k=8192).seconds
    np.testing.assert_allclose(t[1:] / t[:-1], 2.0, rtol=tolerance)


def test_engines_get_kernel_times_and_benchmarks_their_own_for_host_launched_tables():
    chip = load_chip("H100-SXM")
    engine = gemm_time(chip, m=16, n=4096, k=4096, format="fp8_block", backend="vllm")
    table = gemm_time(chip, m=16, n=4096, k=4096, format="fp8_block", backend="vllm", warm=True)
    assert engine.seconds < 2e-5 < 4e-5 < table.seconds
    assert engine.distance == "backend" and "sglang" in engine.note
    assert table.distance == "table" and "without CUDA graphs" in table.note
    assert load("gemm").holds("vllm" + EAGER, "fp8_block")


def test_distance_widens_the_interval():
    shape = {"m": 2048, "n": 8192, "k": 8192}
    near, kin, far = (gemm_time(load_chip(c), **shape) for c in ("H100-SXM", "H20", "MI300X"))
    assert [x.distance for x in (near, kin, far)] == ["table", "architecture", "pooled"]
    assert near.log_sigma < kin.log_sigma < far.log_sigma


def test_shipped_constants_answer_the_shipped_measurements():
    from ridgeline.measure.truth.reader import read_table
    from ridgeline.measure.validate.kernels import chip_named
    from ridgeline.truth_data import shipped_file

    table = read_table(shipped_file("gemm.csv.xz")).columns
    for gpu, backend, format in (("H100-SXM", "vllm", "bfloat16"), ("B200-SXM", "trtllm", "fp8"),
                                 ("GB300", "sglang", "nvfp4"), ("A100-SXM-80G", "trtllm", "sq")):
        mine = np.flatnonzero((table["gpu"] == gpu) & (table["backend"] == backend)
                              & (table["dtype"] == format))
        guess = gemm_time(chip_named(gpu), m=table["m"][mine], n=table["n"][mine],
                          k=table["k"][mine], format=format, backend=backend, warm=True)
        ratio = guess.seconds / (table["time_us"][mine] * 1e-6)
        assert np.median(np.abs(ratio - 1)) < 0.05
        assert abs(np.median(ratio) - 1) < 0.02
        low, high = guess.interval(0.8)
        inside = np.mean((table["time_us"][mine] * 1e-6 >= low)
                         & (table["time_us"][mine] * 1e-6 <= high))
        assert inside > 0.78


def test_scalar_array_and_symbol_agree():
    m, n, k = sympy.symbols("m n k", positive=True)
    symbolic = gemm_terms(m=m, n=n, k=k, constants=CONSTANTS, **SHAPE).total
    for case in ((1, 4096, 4096), (333, 1000, 777), (8192, 8192, 1024)):
        number = gemm_terms(m=float(case[0]), n=float(case[1]), k=float(case[2]),
                            constants=CONSTANTS, **SHAPE).total
        array = gemm_terms(m=np.array([case[0]]), n=np.array([case[1]]), k=np.array([case[2]]),
                           constants=CONSTANTS, **SHAPE).total
        value = float(symbolic.subs(dict(zip((m, n, k), case, strict=True))))
        assert number == pytest.approx(float(array[0])) == pytest.approx(value)


def test_weights_in_cache_are_read_faster_and_quantising_costs():
    shape = {"m": 1.0, "n": 1024.0, "k": 1024.0, "constants": CONSTANTS, **SHAPE}
    assert gemm_terms(**shape, warm=1.0).memory < gemm_terms(**shape).memory
    quantised = gemm_terms(**{**shape, "quantises": True})
    assert quantised.total == pytest.approx(gemm_terms(**shape).total + quantised.quantise)


def test_shapes_broadcast():
    time = gemm_time(load_chip("H100-SXM"), m=np.ones((3, 1)), n=np.full(4, 512), k=512)
    assert time.seconds.shape == (3, 4) and time.log_quantiles.shape == (3, 4, 4)


def test_bad_input_is_named():
    chip = load_chip("H100-SXM")
    with pytest.raises(UnknownName, match="'fp9'; did you mean"):
        gemm_time(chip, m=1, n=1, k=1, format="fp9")
    with pytest.raises(BadInput, match="size n must be at least 1, not 0"):
        gemm_time(chip, m=1, n=[4, 0], k=1)


@pytest.mark.parametrize("backend", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("chip", ["H100-SXM", "B200-SXM", "MI300X"])
def test_fused_quantisation_saves_its_start_alone(chip, backend):
    size = {"m": np.array([1.0, 64.0, 8192.0]), "n": 8192.0, "k": 8192.0, "backend": backend}
    for format in ("bfloat16", "fp8", "fp8_block", "nvfp4"):
        apart = gemm_time(load_chip(chip), format=format, **size).seconds
        fused = gemm_time(load_chip(chip), format=format, fused=True, **size).seconds
        saved = apart - fused
        assert np.all(saved >= 0) and np.all(fused > 0)
        assert saved == pytest.approx(np.full(3, saved[0])) and saved[0] < 2e-5
        assert format != "bfloat16" or not saved.any()
