"""Readers of every schema on made rows, and one clear line for whatever is wrong."""

import gzip
import json

import numpy as np
import pytest

from ridgeline.errors import BadInput, UnknownName
from ridgeline.serving.client_mix import generate_mix
from ridgeline.serving.traces import BUNDLED, read_trace


def written(tmp_path, name, text):
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


FILES = {
    "azure2023.csv": ("azure", "TIMESTAMP,ContextTokens,GeneratedTokens\n"
                      "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:48.1805900,396,109\n"),
    "azure2024.csv.gz": ("azure", "TIMESTAMP,ContextTokens,GeneratedTokens\n"
                         "2024-05-10 00:00:00.009930+00:00,374,44\n"
                         "2024-05-10 00:00:01.509930+00:00,396,109\n"),
    "burst.csv": ("burstgpt", "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"
                  "\n5,ChatGPT,374,44,418,Conversation log\n6.5,GPT-4,396,109,505,API log\n"),
    "mooncake.jsonl": ("mooncake", "".join(json.dumps(row) + "\n" for row in (
        {"timestamp": 0, "input_length": 374, "output_length": 44, "hash_ids": [0]},
        {"timestamp": 1500, "input_length": 396, "output_length": 109, "hash_ids": [0]}))),
    "qwen.jsonl.gz": ("bailian", "".join(json.dumps(row) + "\n" for row in (
        {"chat_id": 1, "parent_chat_id": -1, "timestamp": 61.1, "input_length": 374,
         "output_length": 44, "type": "text", "turn": 1, "hash_ids": [0, 1]},
        {"chat_id": 2, "parent_chat_id": 1, "timestamp": 62.6, "input_length": 396,
         "output_length": 109, "type": "text", "turn": 2, "hash_ids": [0, 1]}))),
    "plain.csv": ("plain", "arrival_s,prompt_tokens,output_tokens\n3,374,44\n4.5,396,109\n"),
    "plain.jsonl": ("plain", '{"arrival": 3, "prompt": 374, "output": 44}\n\n'
                    '{"arrival": 4.5, "prompt": 396, "output": 109}\n'),
}


@pytest.mark.parametrize("name", FILES)
def test_every_schema_reads_the_same_requests(tmp_path, name):
    schema, text = FILES[name]
    trace = read_trace(written(tmp_path, name, text))
    assert trace.schema == schema and trace.skipped == 0
    assert trace.requests.arrival == pytest.approx([0.0, 1.5], abs=1e-6)
    assert list(trace.requests.prompt) == [374, 396]
    assert list(trace.requests.output) == [44, 109]
    tokens = {"mooncake": 512, "bailian": 16}.get(schema, 0)
    assert trace.requests.block_tokens == tokens
    assert (trace.requests.blocks is not None) == bool(tokens)


def test_the_bundled_excerpts_read_and_say_whom_to_cite():
    for name in BUNDLED:
        trace = read_trace(name)
        assert len(trace.requests) >= 300 and "202" in trace.notes[0]
    # Published marginals of the first minutes: prompts of about a thousand tokens, 4 a second.
    azure = read_trace("azure-conv").requests
    assert 600 / azure.arrival[-1] == pytest.approx(4.05, rel=0.01)


def test_coarse_arrivals_are_spread_and_said_so():
    trace = read_trace("mooncake")
    gaps = np.diff(trace.requests.arrival)
    assert np.mean(gaps == 0) < 0.01 and any("spread" in note for note in trace.notes)


HEAD = "arrival_s,prompt_tokens,output_tokens\n"


@pytest.mark.parametrize(("rows", "message"), [
    ("0,abc,5\n", r"1 of 1 rows are bad: 1 where prompt is not a number \(first: line 2\)"),
    ("0,1,5\n1,2\n", r"1 of 2 rows are bad: 1 where output is not a number \(first: line 3\)"),
    ("0,1,5\n1,0,5\n2,0,5\n", r"2 where prompt has fewer than 1 token \(first: line 3\)"),
    ("0,1,5\n1,1,1e300\n", "more than 2,147,483,647 tokens"),
    ("0,1,5\n1,1.5,3\n", "prompt tokens are not whole"),
    ("-1,1,5\n1,1,3\n", r"arrival is negative \(first: line 2\)"),
    ("0,1,5\nnan,1,3\n", "arrival is not a number"),
    ("5,1,5\n1,1,3\n", r"1 rows arrive before the row above them \(first: line 3\)"),
    ("", "no requests"),
])
def test_whatever_is_wrong_gets_one_clear_line(tmp_path, rows, message):
    path = written(tmp_path, "bad.csv", HEAD + rows)
    with pytest.raises(BadInput, match=message) as caught:
        read_trace(path)
    assert "\n" not in str(caught.value) and "bad.csv" in str(caught.value)


def test_a_million_bad_rows_are_one_line(tmp_path):
    path = written(tmp_path, "bad.csv", HEAD + "x,y,z\n" * 1_000_000)
    with pytest.raises(BadInput, match="1,000,000 of 1,000,000 rows are bad") as caught:
        read_trace(path, skip_bad=True)
    assert len(str(caught.value)) < 500


def test_bad_rows_are_skipped_only_when_told_and_counted(tmp_path):
    path = written(tmp_path, "t.csv", HEAD + "0,10,5\n1,10,0\n2,10,7\n")
    with pytest.raises(BadInput, match="--skip-bad"):
        read_trace(path)
    trace = read_trace(path, skip_bad=True)
    assert trace.skipped == 1 and len(trace.requests) == 2
    assert any("1 bad rows" in note for note in trace.notes)


def test_unordered_rows_are_sorted_only_when_told(tmp_path):
    path = written(tmp_path, "t.csv", HEAD + "4,10,5\n1,11,6\n")
    trace = read_trace(path, sort=True, speed=3.0)
    assert list(trace.requests.prompt) == [11, 10]
    assert trace.requests.arrival == pytest.approx([0.0, 1.0])


def test_limit_takes_the_first(tmp_path):
    path = written(tmp_path, "t.csv", HEAD + "0,10,5\n1,11,6\n2,12,7\n")
    assert list(read_trace(path, limit=2).requests.prompt) == [10, 11]


@pytest.mark.parametrize(("name", "text", "message"), [
    ("a.csv", "time,tokens\n1,2\n", "cannot tell arrivals"),
    ("a.jsonl", "[1, 2]\nnot json\n", "cannot tell arrivals"),
    ("a.txt", "", "must end in"),
    ("a.csv.gz", "", "cannot tell arrivals"),
])
def test_unreadable_files(tmp_path, name, text, message):
    with pytest.raises(BadInput, match=message):
        read_trace(written(tmp_path, name, text))


def test_damaged_and_missing_files(tmp_path):
    path = tmp_path / "broken.csv.gz"
    path.write_bytes(b"\x1f\x8b nonsense")
    with pytest.raises(BadInput, match="cannot read trace"):
        read_trace(path)
    with pytest.raises(BadInput, match="no trace file"):
        read_trace(tmp_path / "none.csv")
    with pytest.raises(UnknownName, match="did you mean 'mooncake'"):
        read_trace("moncake")


RATES = "client,start_s,rate_per_s,cv,pattern,param1,param2\n"


def mix(tmp_path, rates, lengths=None):
    written(tmp_path, "mix_rates.csv", RATES + rates)
    rows = lengths if lengths is not None else [
        {"client": 0, "start_s": 0, "input_tokens": [[100, 0.5], [300, 0.5]],
         "output_tokens": [[10, 1.0]]}]
    written(tmp_path, "mix_lengths.jsonl.gz", "".join(json.dumps(r) + "\n" for r in rows))
    return tmp_path / "mix"


@pytest.mark.parametrize("law", ["Gamma,1.0,1.0", "Weibull,0.7,3.0"])
def test_a_mix_keeps_rate_and_lengths(tmp_path, law):
    rates = "".join(f"0,{600 * k},2.0,1.3,{law}\n" for k in range(60))
    made = generate_mix(mix(tmp_path, rates), duration=36_000.0)
    assert len(made) / 36_000 == pytest.approx(2.0, rel=0.02)
    assert made.prompt.mean() == pytest.approx(200, rel=0.02)
    assert set(made.output) == {10}
    again = generate_mix(tmp_path / "mix", duration=36_000.0)
    np.testing.assert_array_equal(made.arrival, again.arrival)
    half = generate_mix(tmp_path / "mix", duration=36_000.0, scale=0.5)
    assert len(half) / len(made) == pytest.approx(0.5, rel=0.03)


def test_malformed_mixes_are_named(tmp_path):
    with pytest.raises(BadInput, match=r"line 2 is malformed"):
        generate_mix(mix(tmp_path, "0,0,fast,1,Gamma,1,1\n"))
    with pytest.raises(BadInput, match="no file"):
        generate_mix(tmp_path / "other")
    with pytest.raises(BadInput, match="no requests"):
        generate_mix(mix(tmp_path, "0,0,1.0,1,Gamma,1,1\n"), start=7200.0)
    with pytest.raises(BadInput, match=r"lengths.jsonl line 1"):
        generate_mix(mix(tmp_path, "0,0,1,1,Gamma,1,1\n", [{"client": 0}]))


def test_a_plain_trace_may_carry_priorities(tmp_path):
    path = written(tmp_path, "p.csv", "arrival,prompt,output,priority\n0,5,6,2\n1,7,8,0.5\n")
    assert list(read_trace(path).requests.priority) == [2.0, 0.5]
    rows = '{"arrival": 0, "prompt": 5, "output": 6, "priority": 1}\n'
    path = written(tmp_path, "p.jsonl", rows + '{"arrival": 1, "prompt": 5, "output": 6}\n')
    with pytest.raises(BadInput, match="1 where priority is not a number"):
        read_trace(path)
    assert len(read_trace(path, skip_bad=True).requests) == 1


def test_bad_rows_are_named_by_their_line_in_the_file(tmp_path):
    path = written(tmp_path, "p.csv", "arrival,prompt,output\n0,5,6\n\n\n1,0,6\n")
    with pytest.raises(BadInput, match="line 5"):
        read_trace(path)


@pytest.mark.parametrize("name", [n for n in FILES if ".csv" in n])
def test_long_files_are_read_in_parts_with_the_same_result(tmp_path, monkeypatch, name):
    path = written(tmp_path, name, FILES[name][1])
    whole = read_trace(path).requests
    monkeypatch.setattr("ridgeline.serving.traces._ROWS", 1)
    parts = read_trace(path).requests
    np.testing.assert_array_equal(parts.arrival, whole.arrival)
    np.testing.assert_array_equal(parts.prompt, whole.prompt)
    bad = written(tmp_path, "bad.csv", "arrival,prompt,output\n0,5,6\n1,5,6\n2,0,6\n3,5,x\n")
    with pytest.raises(BadInput, match="2 of 4 rows are bad"):
        read_trace(bad)
