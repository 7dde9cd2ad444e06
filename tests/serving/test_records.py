"""Files of a run: complete, readable, whole or not at all."""

import gzip
import itertools
import json

import numpy as np
import pytest
from test_simulator import TABLE

from ridgeline.errors import BadInput
from ridgeline.serving.records import check_requests_file, chrome_trace, write_requests
from ridgeline.serving.requests import Requests
from ridgeline.serving.scheduler import Scheduler
from ridgeline.serving.simulator import simulate_replica

REQUESTS = Requests(np.array([0.0, 0.1, 0.2]), np.array([10, 900, 30]), np.array([4, 5, 1]))
RUN = simulate_replica(TABLE, REQUESTS, Scheduler(kv_blocks=20))


def test_rows_keep_refused_requests_empty(tmp_path):
    path = write_requests(RUN, tmp_path / "r.jsonl.gz", extra=0.5)
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert [row["ttft_s"] is None for row in rows] == [False, True, False]
    assert rows[0]["ttft_s"] == pytest.approx(RUN.first[0] + 0.5)
    assert rows[2]["tpot_s"] is None
    text = write_requests(RUN, tmp_path / "r.csv").read_text().splitlines()
    assert len(text) == 4 and text[2].endswith(",,,,,0")


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(BadInput, match="cannot write"):
        write_requests(RUN, tmp_path / "no" / "r.csv")
    assert not list(tmp_path.iterdir())
    with pytest.raises(BadInput, match="must end in"):
        check_requests_file("r.xlsx")


def test_spans_of_a_timeline_nest_in_time():
    events = chrome_trace(RUN)["traceEvents"]
    first = [e for e in events if e.get("id") == 0]
    assert [e["name"] for e in first[::2]] == ["waiting", "prompt", "decoding"]
    assert all(a["ts"] <= b["ts"] for a, b in itertools.pairwise(first))
    assert not [e for e in events if e.get("id") == 1]


def test_parquet_holds_the_same_rows(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    path = write_requests(RUN, tmp_path / "it's.parquet", extra=0.5)
    rows = duckdb.execute("SELECT prompt_tokens, ttft_s, tpot_s, preemptions FROM read_parquet(?)",
                          [str(path)]).fetchall()
    assert [row[0] for row in rows] == [10, 900, 30]
    assert rows[0][1] == pytest.approx(RUN.first[0] + 0.5)
    assert rows[1][1] is None and rows[2][2] is None and rows[0][3] == 0
