"""Sweeps: every row as the question itself answers it, kept once whatever happens."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

import ridgeline
from ridgeline.errors import BadInput, UnknownName
from ridgeline.questions.sweep import SweepAsk, sweep
from ridgeline.questions.sweep_plot import sweep_figure

FIELDS = {"model": "Llama-3.1-8B", "machine": "4xH100-SXM", "tp": [1, 2, 3],
          "workload": {"prompt": {"from": 100, "to": 10_000, "steps": 3, "scale": "log"},
                       "concurrency": [1, 16]}}


def rows_of(file):
    return duckdb.sql(f"SELECT * FROM '{file}' ORDER BY row")


def test_rows_are_the_question_s_own_answers(tmp_path):
    answer = sweep(SweepAsk(FIELDS, str(tmp_path / "rows")))
    assert (answer["rows"], answer["answered"], answer["refused"]) == (18, 12, 6)
    table = rows_of(answer["file"])
    rows = [dict(zip(table.columns, r, strict=True)) for r in table.fetchall()]
    assert [r["row"] for r in rows] == list(range(18))
    for row in rows:
        if row["tp"] == 3:
            assert "does not divide" in row["reason"] and row["ttft_s"] is None
            continue
        direct = ridgeline.estimate("Llama-3.1-8B", "4xH100-SXM", tp=row["tp"],
                                    prompt=row["prompt"], concurrency=row["concurrency"])
        assert row["reason"] is None
        assert row["tpot_s"] == direct.value("tpot_s")
        assert row["tpot_s_low"] == direct["tpot_s"].low
        assert row["bound_decode"] == direct["bound_decode"]
    assert answer.tables[0].rows[0][:4] == (0, 1, 100, 1)
    assert answer.tables[1].rows[0][0] == 6


def test_processes_give_the_same_rows(tmp_path):
    alone = sweep(SweepAsk(FIELDS, str(tmp_path / "a")))
    beside = sweep(SweepAsk(FIELDS, str(tmp_path / "b"), jobs=2))
    assert rows_of(alone["file"]).fetchall() == rows_of(beside["file"]).fetchall()


def test_what_is_done_is_not_asked_again(tmp_path):
    out, seen = tmp_path / "rows", []
    first = sweep(SweepAsk(FIELDS, str(out)))
    kept = rows_of(first["file"]).fetchall()
    for gone in ("part-00000003.parquet", "part-00000011.parquet", "rows.parquet"):
        (out / gone).unlink()
    before = {f.name: f.stat().st_mtime_ns for f in out.glob("part-*")}
    again = sweep(SweepAsk(FIELDS, str(out)), lambda done, rows, _: seen.append(done))
    assert (again["resumed"], seen) == (16, [16, 17, 18])
    after = {f.name: f.stat().st_mtime_ns for f in out.glob("part-*")}
    assert {n: t for n, t in after.items() if n in before} == before
    assert rows_of(again["file"]).fetchall() == kept
    assert sweep(SweepAsk(FIELDS, str(out)))["resumed"] == 18


@pytest.mark.parametrize(("question", "fields", "column"), [
    ("fit", {"model": "Llama-3.1-8B", "machine": ["RTX-4090", "H100-SXM"],
             "weights": ["bf16", "fp8"], "context": 100_000}, "fits"),
    ("train", {"model": "Llama-3.1-8B", "machine": "64xH100-SXM", "tokens": "100B",
               "tp": [1, 4], "batch_tokens": {"from": 2e6, "to": 8e6, "steps": 2}}, "mfu"),
])
def test_other_questions(tmp_path, question, fields, column):
    answer = sweep(SweepAsk(fields, str(tmp_path / "rows"), question))
    assert answer["answered"] == answer["rows"] == 4
    values = [v for (v,) in rows_of(answer["file"]).project(column).fetchall()]
    assert None not in values and len(set(values)) > 1


def test_what_python_gives_wins_over_the_file(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text('question = "train"\nmodel = "Llama-3.1-8B"\nmachine = "H100-SXM"\n'
                    "[workload]\nprompt = [100, 200, 300]\noutput = 5\n", encoding="utf-8")
    answer = ridgeline.sweep("fit", out=str(tmp_path / "rows"), scenario=str(file),
                             prompt={"from": 10, "to": 20, "steps": 2}, kv="fp8")
    assert (answer["rows"], answer.scenario["prompt"], answer.scenario["output"]) == (2, [10, 20],
                                                                                      5)


def test_the_picture_has_a_line_for_each_other_value(tmp_path):
    answer = sweep(SweepAsk({**FIELDS, "tp": [1, 2]}, str(tmp_path / "rows")))
    figure = sweep_figure(answer, "prompt", "ttft_s")
    assert {s.name for s in figure.series} == {
        f"tp={t}, concurrency={c}" for t in (1, 2) for c in (1, 16)}
    assert all(list(s.x) == [100, 1000, 10_000] for s in figure.series)
    assert all(list(s.y) == sorted(s.y) for s in figure.series)
    with pytest.raises(UnknownName, match="did you mean 'ttft_s'"):
        sweep_figure(answer, "prompt", "ttft")
    with pytest.raises(BadInput, match="field of numbers"):
        sweep_figure(answer, "model")


@pytest.mark.parametrize(("change", "said"), [
    ({"fields": {**FIELDS, "promt": 3}}, "did you mean 'prompt'"),
    ({"fields": {**FIELDS, "tp": []}}, "tp is an empty list"),
    ({"fields": {**FIELDS, "tp": [2, "2"]}}, "twice"),
    ({"fields": {**FIELDS, "tp": ["two"]}}, "tp must be a number"),
    ({"fields": {"model": {"from": 1, "to": 2, "steps": 2}, "machine": "H100"}}, "no range"),
    ({"fields": {"model": "Llama-3.1-8B"}}, "needs a machine"),
    ({"fields": {**FIELDS, "prompt": 3}}, "given twice"),
    ({"fields": {**FIELDS, "workload": {"tp": 3}}}, "workload.tp"),
    ({"limit": 17}, "18 combinations (3 tp x 3 prompt x 2 concurrency) are more than 17"),
    ({"question": "guess"}, "Questions: estimate, fit, train"),
    ({"jobs": 0}, "jobs must be"), ({"piece": 0}, "piece must be"), ({"limit": -1}, "limit must"),
    ({"out": " "}, "needs a folder"), ({"on_ray": ""}, "address of a Ray cluster is empty"),
])
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, change, said):
    ask = {"fields": FIELDS, "out": str(tmp_path / "rows")} | change
    with pytest.raises(BadInput) as caught:
        sweep(SweepAsk(**ask))
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "rows").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    out = tmp_path / "rows"
    out.mkdir()
    (out / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(BadInput, match="not empty and holds no sweep"):
        sweep(SweepAsk(FIELDS, str(out)))
    small = {"model": "Llama-3.1-8B", "machine": "H100-SXM", "prompt": [100, 200]}
    sweep(SweepAsk(small, str(tmp_path / "b"), "fit"))
    with pytest.raises(BadInput, match="another sweep: its axes differs"):
        sweep(SweepAsk({**small, "prompt": [100, 300]}, str(tmp_path / "b"), "fit"))
    (tmp_path / "b" / "mine.txt").write_text("mine", encoding="utf-8")
    again = sweep(SweepAsk({**small, "prompt": [100]}, str(tmp_path / "b"), "fit", force=True))
    assert (again["rows"], again["resumed"]) == (1, 0)
    assert (tmp_path / "b" / "mine.txt").exists()
    (tmp_path / "b" / "sweep.json").write_text("{", encoding="utf-8")
    with pytest.raises(BadInput, match="--force begins anew"):
        sweep(SweepAsk(small, str(tmp_path / "b"), "fit"))


MANY = """
model = "Llama-3.1-8B"
machine = "4xH100-SXM"
tp = [1, 2, 3]
prompt = {from = 100, to = 8000, steps = STEPS}
concurrency = [1, 4]
"""


def started(folder, out, *more, steps=20):
    file = folder / "many.toml"
    file.write_text(MANY.replace("STEPS", str(steps)), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-m", "ridgeline", "sweep", str(file), "--out", str(out), "--json", *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder)


def wait_for_parts(running, out, count, seconds=60):
    end = time.monotonic() + seconds
    while len(list(out.glob("part-*.parquet"))) < count:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < end, "no rows came"
        time.sleep(0.01)


def children(pid):
    """Processes below one, found in /proc."""
    below, found = {}, []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        below.setdefault(int(fields[1]), []).append(int(status.parent.name))
    wanted = [pid]
    while wanted:
        found += (more := below.get(wanted.pop(), []))
        wanted += more
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
def test_a_killed_sweep_goes_on_with_nothing_lost_or_repeated(tmp_path):
    out = tmp_path / "killed"
    running = started(tmp_path, out, "--jobs", "2")
    try:
        wait_for_parts(running, out, 10)
        workers = children(running.pid)
    finally:
        os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    done = len(list(out.glob("part-*.parquet")))
    assert 10 <= done < 120 and not (out / "rows.parquet").exists()
    end = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < end, "workers outlive their parent"
        time.sleep(0.05)
    before = {f.name: f.stat().st_mtime_ns for f in out.glob("part-*.parquet")}
    again = started(tmp_path, out, "--jobs", "2")
    said, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    kept = {f.name: f.stat().st_mtime_ns for f in out.glob("part-*.parquet")}
    assert {n: kept[n] for n in before} == before
    assert '"refused"' in said and not list(out.glob(".*"))
    whole = started(tmp_path, tmp_path / "whole", "--jobs", "1")
    _, errors = whole.communicate(timeout=120)
    assert whole.returncode == 0, errors
    rows = rows_of(out / "rows.parquet").fetchall()
    assert len(rows) == 120
    assert rows == rows_of(tmp_path / "whole" / "rows.parquet").fetchall()


def busy_worker(running):
    """A process of the cluster that has a piece in hand; between pieces none may have."""
    while running.poll() is None:
        for pid in children(running.pid):
            with contextlib.suppress(OSError):
                if b"ray::work_piece" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
    raise AssertionError("no worker was at work")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
def test_a_ray_cluster_of_two_loses_a_worker_and_no_row(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("HOME", str(tmp_path))           # Ray keeps a token in the home folder
    out = tmp_path / "ray"
    running = started(tmp_path, out, "--on-ray", "local", "--jobs", "2", steps=20)
    try:
        wait_for_parts(running, out, 5, seconds=240)
        os.kill(busy_worker(running), signal.SIGKILL)
        done = len(list(out.glob("part-*.parquet")))
        _, errors = running.communicate(timeout=240)
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate()       # closes its pipes
    assert running.returncode == 0, errors
    assert done < 120
    rows = rows_of(out / "rows.parquet").fetchall()
    fields = {"model": "Llama-3.1-8B", "machine": "4xH100-SXM", "tp": [1, 2, 3],
              "prompt": {"from": 100, "to": 8000, "steps": 20}, "concurrency": [1, 4]}
    alone = sweep(SweepAsk(fields, str(tmp_path / "alone")))
    assert rows == rows_of(alone["file"]).fetchall()
