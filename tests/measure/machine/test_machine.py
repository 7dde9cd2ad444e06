"""Measuring this machine: probes, plan, chip file, answer, interruption."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ridgeline
from ridgeline.catalog.loader import Catalog
from ridgeline.cli import main
from ridgeline.errors import BadInput
from ridgeline.measure.machine.answer import machine_answer, roofline_figure
from ridgeline.measure.machine.chip_file import bandwidth_of, chip_name, peaks_of, write_chip
from ridgeline.measure.machine.clock import timed
from ridgeline.measure.machine.host import cpu_host
from ridgeline.measure.machine.points import Host, Machine, Point, read_machine
from ridgeline.measure.machine.probes import Job, probe_numpy
from ridgeline.measure.machine.sweep import (
    Batch,
    measure_machine,
    plan_cpu,
    plan_cuda,
    thread_counts,
)

HOST = Host("Test CPU 9000", "AMD", "cpu", 2, 16e9, {"L1": 32768.0, "L2": 1e6, "L3": 3.2e7})


def point(kind, format="fp32", size=1e8, threads=1, rate=1e10, noise=0.02):
    return Point(kind, format, size, threads, rate, rate / (1 + noise), noise, 10)


MACHINE = Machine(HOST, (
    point("launch", size=0.0, rate=1e-6), point("read", size=1e4, rate=1e11),
    point("read", size=2.56e8, rate=1.5e10), point("read", size=2.56e8, rate=2.5e10, threads=2),
    point("matmul", size=512.0, rate=9e10), point("matmul", size=2048.0, rate=1e11),
    point("matmul", size=2048.0, rate=1.9e11, threads=2),
    point("matmul", "bf16", 2048.0, 2, 7e11)), "2026-11-21 10:00:00")


def test_timing_measures_a_known_wait():
    taken = timed(lambda: time.sleep(0.002), budget=0.03)
    assert 0.002 <= taken.best <= taken.median <= taken.slow
    assert taken.samples >= 5 and taken.noise >= 0


def test_short_work_is_repeated_inside_the_clock():
    calls = []
    taken = timed(lambda: calls.append(1), budget=0.005)
    assert len(calls) > 50 * taken.samples and taken.best < 1e-5


@pytest.mark.parametrize(("job", "unit"), [
    (Job("read", "fp32", 2e6), 1e8), (Job("copy", "fp32", 2e6, 2), 1e8),
    (Job("matmul", "fp32", 96.0), 1e8), (Job("matmul", "fp64", 96.0), 1e8),
    (Job("matvec", "fp32", 2e6), 1e8)])
def test_probes_give_rates_that_can_be(job, unit):
    found = probe_numpy(job, 0.01)
    assert (found.kind, found.format, found.size, found.threads) == job[:4]
    assert unit < found.median_rate <= found.rate < 1e14


def test_a_launch_is_a_time():
    assert 1e-9 < probe_numpy(Job("launch", "fp32", 0.0), 0.01).rate < 1e-3


def test_the_host_knows_itself():
    host = cpu_host("NumPy")
    assert host.n_cores >= 1 and host.memory_bytes > 1e8 and host.name
    assert list(host.caches.values()) == sorted(host.caches.values())


@given(st.integers(1, 5000))
def test_thread_counts_double_up_to_the_most(most):
    counts = thread_counts(most)
    assert counts[0] == 1 and counts[-1] == most and counts == sorted(set(counts))
    assert all(b <= 2 * a for a, b in itertools.pairwise(counts))


def test_the_plan_reaches_past_every_cache():
    jobs = [job for batch in plan_cpu(HOST, threads=2, formats=["bf16"]) for job in batch.jobs]
    reads = [job.size for job in jobs if job.kind == "read"]
    assert min(reads) < HOST.caches["L1"] and max(reads) >= 8 * HOST.caches["L3"]
    assert {job.threads for job in jobs} == {1, 2} and Job("matmul", "bf16", 2048.0, 2) in jobs
    quick = [job for batch in plan_cpu(HOST, threads=1, quick=True) for job in batch.jobs]
    assert len(quick) < len(jobs) / 2
    gpu = Host("GPU", "NVIDIA", "cuda", 132, 80e9, {"L2": 5e7})
    cuda = plan_cuda(gpu, ["fp32", "bf16"])[0]
    assert cuda.library == "torch" and {j[0] for j in cuda.jobs} == {"launch", "read", "copy",
                                                                    "matmul"}


def test_workers_measure_in_processes_of_their_own():
    seen = []
    found = measure_machine(HOST, [Batch("numpy", 1, (Job("matmul", "fp32", 64.0),
                                                      Job("read", "fp32", 1e6)))],
                            budget=0.01, say=seen.append)
    assert found.complete and tuple(seen) == found.points
    assert [p.kind for p in found.points] == ["matmul", "read"]
    with pytest.raises(BadInput, match="budget"):
        measure_machine(HOST, [], budget=float("nan"))


def test_an_interruption_keeps_the_points_measured():
    def stop(point):
        raise KeyboardInterrupt

    found = measure_machine(HOST, [Batch("numpy", 1, (Job("read", "fp32", 1e6),) * 50)],
                            budget=0.01, say=stop)
    assert len(found.points) == 1 and not found.complete
    assert "Interrupted" in " ".join(machine_answer(
        Machine(HOST, MACHINE.points, "2026-11-21", complete=False)).notes)


def test_the_chip_file_is_taken_by_the_catalog(tmp_path):
    file = write_chip(MACHINE, tmp_path / "my-box.toml")
    chip = Catalog.of([file]).chip("my-box")
    assert chip.memory_bandwidth == 2.5e10 and chip.kind == "cpu"
    assert chip.peaks == {"fp32": 1.9e11, "bf16": 7e11}
    assert tomllib.loads(file.read_text())["basis"] == "measured"


@pytest.mark.parametrize("name", ["box.json", "my box.toml", ".toml", "a/b?.toml"])
def test_files_that_are_no_chips(tmp_path, name):
    with pytest.raises(BadInput):
        write_chip(MACHINE, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_without_bandwidth_or_rate_there_is_no_chip(tmp_path):
    for kind in ("matmul", "read"):
        some = tuple(p for p in MACHINE.points if p.kind != kind)
        with pytest.raises(BadInput, match="no "):
            write_chip(Machine(HOST, some, "2026-11-21"), tmp_path / "box.toml")
    with pytest.raises(BadInput):
        chip_name("///")


def test_the_answer_shows_levels_threads_and_datasheet():
    beside = Catalog.of([]).chip("EPYC-9374F")
    answer = machine_answer(MACHINE, beside)
    assert answer.value("memory_bandwidth_bytes_per_s") == 2.5e10
    assert answer.value("ridge_fp32_flop_per_byte") == pytest.approx(1.9e11 / 2.5e10)
    tables = {t.name: t for t in answer.tables}
    assert [row[1] for row in tables["bandwidth"].rows] == ["L1", "memory"]
    assert [row[0] for row in tables["threads"].rows] == [1, 2]
    assert tables["datasheet"].rows[0][3] == pytest.approx(2.5e10 / 4.608e11)
    names = [s.name for s in roofline_figure(MACHINE, beside).series]
    assert "fp32, measured" in names and "fp32, EPYC-9374F" in names


def test_points_survive_a_file(tmp_path):
    file = tmp_path / "points.json"
    file.write_text(json.dumps(MACHINE.to_dict()))
    assert read_machine(file) == MACHINE
    assert bandwidth_of(read_machine(file)).threads == 2 and peaks_of(MACHINE)["bf16"] == 7e11
    for text in ("", "[]", "{}", '{"kind": "ridgeline-machine"}'):
        file.write_text(text)
        with pytest.raises(BadInput):
            read_machine(file)


def run(*args, **options):
    return subprocess.run([sys.executable, "-m", "ridgeline", *args], capture_output=True,
                          text=True, timeout=100, **options)


@pytest.mark.parametrize("wrong", [{"device": "tpu"}, {"threads": 0}, {"threads": 10**6},
                                   {"device": "cuda", "threads": 2}, {"beside": "no-such"}])
def test_what_cannot_be_measured_is_refused_from_python(wrong):
    with pytest.raises(BadInput):
        ridgeline.measure_machine(quick=True, **wrong)


def test_the_command_measures_and_the_chip_serves_at_once(tmp_path):
    chip = tmp_path / "this-box.toml"
    done = run("measure", "machine", "--quick", "--threads", "1", "--budget", "5ms", "--json",
               "--no-kernels",
               "--out", str(chip), "--plot", str(tmp_path / "roof.svg"))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)["answer"]
    assert answer["memory_bandwidth_bytes_per_s"]["value"] > 1e8
    assert (tmp_path / "roof.svg").read_text().startswith("<svg")
    used = run("estimate", "Llama-3.2-1B", "--on", "this-box", "--engine", "llamacpp", "--weights",
               "q8_0", "--prompt", "64", "--output", "16", "--json", "--catalog", str(chip))
    assert used.returncode == 0, used.stderr
    assert json.loads(used.stdout)["answer"]["tpot_s"]["value"] > 0


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the worker in /proc")
def test_ctrl_c_leaves_no_half_written_file(tmp_path):
    chip = tmp_path / "box.toml"
    with subprocess.Popen([sys.executable, "-m", "ridgeline", "measure", "machine", "--threads",
                           "1", "--budget", "5s", "--out", str(chip)], stderr=subprocess.PIPE,
                          stdout=subprocess.PIPE, start_new_session=True) as running:
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
        while not children.read_text() and running.poll() is None:
            time.sleep(0.05)          # until it measures
        time.sleep(0.2)
        os.killpg(running.pid, signal.SIGINT)
        _, errors = running.communicate(timeout=30)
    assert running.returncode in (2, 130) and b"Traceback" not in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("args", [
    ("--threads", "0"), ("--threads", "-3"), ("--threads", "100000"), ("--budget", "0s"),
    ("--budget", "nan"), ("--out", "x.json"), ("--out", "no/such/place.toml"),
    ("--plot", "roof.gif"), ("--beside", "no-such-chip"), ("--read", "missing.json"),
    ("--device", "cuda")])
def test_bad_flags_get_one_line(args, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ridgeline", "measure", "machine", *args])
    with pytest.raises(SystemExit) as stop:
        main()
    out, errors = capsys.readouterr()
    if args[-1] == "cuda" and stop.value.code == 0:
        pytest.skip("there is a CUDA device")
    assert stop.value.code == 2 and errors.count("\n") == 1 and not out
    assert not list(tmp_path.iterdir())
