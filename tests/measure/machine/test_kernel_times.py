"""From measured points to kernels, through the chip file and back."""

import dataclasses
import importlib.util

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.measure.machine.answer import machine_answer
from ridgeline.measure.machine.chip_file import measured_chip, write_chip
from ridgeline.measure.machine.engine_probes import COSTS, solved_costs
from ridgeline.measure.machine.kernel_times import kernels_of, levels_of
from ridgeline.measure.machine.points import Host, Machine, Point
from ridgeline.measure.machine.probes import Job
from ridgeline.measure.machine.sweep import Batch, measure_machine, plan_kernels

HOST = Host("Test CPU", "AMD", "cpu", 1, 16e9, {"L1": 32768.0, "L2": 1e6, "L3": 32e6})


def point(kind, format, size, rate, rows=0, depth=0, library="ggml"):
    return Point(kind, format, size, 1, rate, rate, 0.0, 5, rows, depth, library)


MACHINE = Machine(HOST, (
    point("read", "fp32", 1e6, 9e10, library=""), point("read", "fp32", 16e6, 8e10, library=""),
    point("read", "fp32", 256e6, 2e10, library=""), point("matmul", "fp32", 1024, 1e11, library=""),
    *(point("product", "q8_0", 8e6, 4e10 * n ** 0.2, n, 512) for n in (1, 4, 8)),
    point("product", "q8_0", 1e6, 8e10, 32, 512),
    *(point("product", "q8_0", 128e6, 2e10, n, 512) for n in (1, 4)),
    *(point("attend", "decode", n, 1e10, 1, 64) for n in (64, 512)),
    point("move", "fp32", 0, 5e9, 256, 1024), point("launch", "q8_0", 0, 2e-7),
    point("cost", "step", 0, 3e-5), point("cost", "layer", 0, 5e-6)), "2026-11-21 10:00:00")


def test_points_become_curves():
    times = kernels_of(MACHINE)["llamacpp"]
    near, far = times.matmul
    assert near.rows == (1, 4, 8, 32) and near.set_bytes == 8e6 and far.rows == (1, 4)
    assert near.seconds[0] == pytest.approx(2 / 4e10) and far.seconds[0] == pytest.approx(1e-10)
    assert near.seconds[3] == pytest.approx(64 / 8e10)
    assert times.attention[0].seconds == pytest.approx((1e-10, 1e-10))
    assert (times.move, times.step, times.layer) == (pytest.approx(2e-10), 3e-5, 5e-6)
    assert times.launch == 0.0          # the measured layer holds its launches


def test_the_chip_file_gives_the_same_kernels_back(tmp_path):
    write_chip(MACHINE, tmp_path / "box.toml")
    chip = measured_chip(MACHINE, "box")
    read, made = chip.kernels["llamacpp"], kernels_of(MACHINE)["llamacpp"]
    assert [(c.format, c.depth, c.set_bytes, c.rows) for c in read.matmul] == [
        (c.format, c.depth, c.set_bytes, c.rows) for c in made.matmul]
    for mine, theirs in zip(read.matmul, made.matmul, strict=True):      # four digits are kept
        assert mine.seconds == pytest.approx(theirs.seconds, rel=1e-3)
    assert read.attention == made.attention and read.layer == made.layer
    assert chip.levels == ((1e6, 9e10), (16e6, 8e10), (256e6, 2e10))
    assert chip.holding(256e6).memory_bandwidth == 2e10


def test_products_show_what_the_memory_can_do():
    fast = point("product", "q8_0", 256e6, 8e10, 1, 512)    # 42.5 GB/s, beside 20 for the read
    levels = levels_of(dataclasses.replace(MACHINE, points=(*MACHINE.points, fast)))
    assert levels[-1] == (256e6, pytest.approx(8e10 / 2 * 8.5 / 8))
    assert levels_of(Machine(HOST, (), "2026-11-21")) == []


def test_the_answer_shows_the_engines_products():
    table = {t.name: t for t in machine_answer(MACHINE).tables}["kernels"]
    engine, weights, one, many = table.rows[0]
    assert (engine, weights) == ("llamacpp", "q8_0")
    assert one.value == pytest.approx(8.5 / 8 / 1e-10) and many.value == pytest.approx(8e10)


def test_the_better_of_two_measurements_counts():
    slower = dataclasses.replace(MACHINE, points=tuple(
        dataclasses.replace(p, rate=p.rate * (2 if p.kind in ("launch", "cost") else 0.5))
        for p in MACHINE.points))
    assert slower.best(MACHINE).points == MACHINE.points == MACHINE.best(slower).points


@settings(deadline=None)
@given(*(st.floats(0, 1e-4) for _ in COSTS))
def test_costs_are_found_again(step, layer, sequence, logit):
    logit /= 1e4
    cases = [(2, 4096, 1), (2, 4096, 4), (26, 4096, 1), (26, 4096, 4), (2, 36864, 1), (2, 36864, 4)]
    seconds = [step + layer * n + b * (sequence + logit * v) for n, v, b in cases]
    found = solved_costs(cases, seconds)
    again = [found["step"] + found["layer"] * n + b * (found["sequence"] + found["logit"] * v)
             for n, v, b in cases]
    assert again == pytest.approx(seconds, abs=1e-9) and min(found.values()) >= 0


def test_costs_are_never_below_zero():
    assert min(solved_costs([(2, 10, 1), (4, 10, 1), (2, 90, 1), (2, 10, 4)],
                            [4e-5, 1e-5, 3e-5, 2e-5]).values()) >= 0


def test_the_plan_covers_formats_rows_depths_and_working_sets():
    plan = plan_kernels(HOST, "ggml", ["q8_0", "q4_0"], threads=1)
    products = [job for job in plan.jobs if job.kind == "product"]
    assert {job.format for job in products} == {"q8_0", "q4_0"} and plan.kernels
    assert {1, 2, 4, 8, 128} <= {job.rows for job in products}
    assert max(job.size for job in products) >= 4 * HOST.caches["L3"]
    quick = plan_kernels(HOST, "ggml", ["q8_0", "q4_0"], threads=1, quick=True)
    assert len(quick.jobs) < len(plan.jobs) / 2


@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="needs llama.cpp")
def test_llamacpps_own_kernels_are_timed():
    jobs = (Job("product", "q8_0", 1e6, 1, 1, 256), Job("product", "q4_0", 1e6, 1, 16, 256),
            Job("attend", "decode", 64.0, 1, 1, 64), Job("attend", "prefill", 64.0, 1, 1, 64),
            Job("move", "fp32", 0.0, 1, 16, 256), Job("launch", "fp16", 0.0),
            Job("product", "no_such", 1e6, 1, 1, 256))
    found = measure_machine(HOST, [Batch("ggml", 1, jobs, kernels=True)], budget=0.01)
    assert [p.kind for p in found.points] == [j.kind for j in jobs[:-1]]
    assert all(1e8 < p.rate < 1e13 for p in found.points[:5]) and 1e-9 < found.points[5].rate < 1e-3
    assert all(p.library == "ggml" for p in found.points)
