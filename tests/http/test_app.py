"""The application as a client meets it: answers, refusals, limits, headers."""

import gzip
import json
import re
import time

import pytest
from starlette.testclient import TestClient

from ridgeline.http.app import create_app
from ridgeline.http.guard import LARGEST_BODY
from ridgeline.questions.registry import QUESTIONS, ask

SCENARIO = {"model": "Llama-3.1-8B", "machine": "H100-SXM", "prompt": 2000, "output": 200}
LOAD = {**SCENARIO, "rate": 1, "requests": 1_000_000}


@pytest.fixture(scope="module")
def client():
    with TestClient(create_app(workers=2, limit=20), base_url="http://127.0.0.1:8421") as open_:
        yield open_


def error(response):
    found = response.json()["error"]
    assert set(found) == {"kind", "message"} and "\n" not in found["message"]
    assert "Traceback" not in found["message"] and found["message"]
    return found


def test_an_answer_is_what_python_answers(client):
    response = client.post("/api/fit", json=SCENARIO)
    assert response.status_code == 200
    assert response.json() == json.loads(json.dumps(ask("fit", SCENARIO).to_dict()))


def test_numbers_may_be_written_as_on_the_command_line_and_sections_nested(client):
    nested = {"model": "Llama-3.1-8B", "machine": "H100-SXM",
              "workload": {"prompt": "2k", "output": 200}}
    first = client.post("/api/estimate", json=nested).json()
    assert first == client.post("/api/estimate", json=SCENARIO).json()
    again = client.post("/api/estimate", json=first["scenario"]).json()
    assert again["answer"] == first["answer"]


def test_figures_and_calls_come_when_asked_for(client):
    plain = client.post("/api/roofline", json=SCENARIO).json()
    full = client.post("/api/roofline?include=figures,calls", json=SCENARIO).json()
    assert "figures" not in plain and full["figures"][0]["series"]
    assert full["calls"]["command"].startswith("ridgeline roofline Llama-3.1-8B --on H100-SXM")
    assert error(client.post("/api/roofline?include=passwords", json=SCENARIO))["kind"]


@pytest.mark.parametrize(("body", "said"), [
    ({**SCENARIO, "model": "/etc/passwd"}, "not a file"),
    ({**SCENARIO, "model": "../../etc/passwd"}, "not a file"),
    ({**SCENARIO, "model": "Lama-3.1-8B"}, "did you mean"),
    ({**SCENARIO, "model": "x" * 100_000}, "at most"),
    ({**SCENARIO, "machine": "8xH100-SXM6"}, "did you mean"),
    ({**SCENARIO, "machine": "99999999999xH100"}, "number of chips"),
    ({**SCENARIO, "machine": "."}, "not a file"),
    ({**SCENARIO, "promt": 1}, "did you mean 'prompt'"),
    ({**SCENARIO, "prompt": "many"}, "must be a number"),
    ({**SCENARIO, "prompt": -1}, "whole number from 1"),
    ({**SCENARIO, "prompt": 10**30}, "whole number from 1"),
    ({**SCENARIO, "prompt": [1]}, "must be a number"),
    ({**SCENARIO, "workload": {"prompt": {}}}, "must be a number"),
    ({**SCENARIO, "workload": {"tp": 1}}, "unknown key in workload"),
    ({**SCENARIO, "engine": "/etc/hosts"}, "not a file"),
    ({**SCENARIO, "catalog": "/etc"}, "unknown field"),
    ({"machine": "H100"}, "needs a model"),
    ({"model": None, "machine": None}, "needs a model"),
    ([], "object of fields"),
    ("text", "object of fields"),
])
def test_bad_bodies_are_refused_in_one_line(client, body, said):
    response = client.post("/api/estimate", content=json.dumps(body),
                           headers={"content-type": "application/json"})
    assert 400 <= response.status_code < 500
    assert said in error(response)["message"]


@pytest.mark.parametrize("raw", [b"", b"{", b'{"model": NaN}', b'{"prompt": 1e999}', b"\xff\xfe",
                                 b"[" * 30_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
                                 b'{"prompt": ' + b"9" * 20_000 + b"}"])
def test_what_is_not_json_is_refused(client, raw):
    response = client.post("/api/fit", content=raw, headers={"content-type": "application/json"})
    assert 400 <= response.status_code < 500
    error(response)


def test_files_cannot_be_named_through_any_question(client):
    for name, body in {"simulate": {**SCENARIO, "trace": "/etc/passwd"},
                       "capacity": {**SCENARIO, "trace": "trace.csv", "tpot": 1},
                       "plan": {"model": "Llama-3.1-8B", "save": "rows.parquet"},
                       "fleet": {"model": "70B", "fleet": "fleet.toml"},
                       "retrieve": {"docs": 1000, "embedder": "/etc/passwd"},
                       "check": {"claim": "5 tok/s", "model": "./config.json"}}.items():
        response = client.post(f"/api/{name}", json=body)
        assert response.status_code == 422, name
        assert any(word in error(response)["message"] for word in
                   ("not a file", "unknown trace", "unknown field"))


def test_an_oversized_body_is_refused_whether_or_not_it_says_so(client):
    big = b'{"model": "' + b"x" * LARGEST_BODY + b'"}'
    headers = {"content-type": "application/json"}
    assert client.post("/api/fit", content=big, headers=headers).status_code == 413
    parts = (big[i:i + 4096] for i in range(0, len(big), 4096))
    assert client.post("/api/fit", content=parts, headers=headers).status_code == 413


def test_oversized_work_is_refused(client):
    too_many = client.post("/api/simulate", json={**LOAD, "requests": 10**8})
    assert "at most 1,000,000" in error(too_many)["message"]
    listed = client.post("/api/cache", json={**SCENARIO, "holds": [1.0] * 1000})
    assert "at most 200" in error(listed)["message"]


def test_infeasible_is_told_apart_from_bad_input(client):
    response = client.post("/api/estimate", json={"model": "Llama-3.1-70B", "machine": "H100-SXM"})
    assert response.status_code == 422 and error(response)["kind"] == "infeasible"
    assert "GB short" in error(response)["message"]


def test_every_response_carries_security_headers(client):
    for response in (client.get("/"), client.post("/api/fit", json=SCENARIO),
                     client.get("/nowhere"), client.post("/api/fit", content=b"")):
        policy = response.headers["content-security-policy"]
        scripts = policy.split("script-src")[1].split(";")[0]
        assert scripts.split() == ["'self'"] and "frame-ancestors 'none'" in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(("headers", "status"), [
    ({"host": "evil.example"}, 421), ({"host": "127.0.0.1.evil.example"}, 421),
    ({"host": "localhost:9"}, 200), ({"host": "[::1]:8421"}, 200), ({"host": ""}, 421),
    ({"origin": "http://evil.example"}, 403), ({"origin": "http://127.0.0.1:8421"}, 200),
    ({"origin": "null"}, 403)])
def test_only_pages_of_this_server_may_ask(client, headers, status):
    response = client.post("/api/fit", json=SCENARIO, headers=headers)
    assert response.status_code == status


def test_a_form_of_another_page_cannot_post(client):
    response = client.post("/api/fit", content=json.dumps(SCENARIO),
                           headers={"content-type": "text/plain"})
    assert response.status_code == 415


@pytest.mark.parametrize("path", ["/api/nothing", "/assets/..%2f..%2f__init__.py",
                                  "/assets/nothing.js", "/assets/%00", "/etc/passwd",
                                  "/api/catalog/nothing", "/api/catalog/chips/nothing",
                                  "/api/catalog/chips/..%2f..%2fengines%2fvllm"])
def test_what_is_not_there_is_a_plain_404(client, path):
    response = client.get(path)
    assert response.status_code == 404
    error(response)


@pytest.mark.parametrize("kind", ["models", "chips", "engines", "formats", "links", "tiers",
                                  "prices", "rents"])
def test_the_catalog_lists_names_and_entries(client, kind):
    entries = client.get(f"/api/catalog/{kind}").json()["entries"]
    assert len(entries) > 4
    if kind in ("models", "chips", "engines"):
        entry = client.get(f"/api/catalog/{kind}/{entries[3]['name']}").json()["entry"]
        assert entry["name"].endswith(entries[3]["name"])


def test_every_question_describes_itself(client):
    listed = client.get("/api/questions").json()
    paths = client.get("/api/openapi.json").json()["paths"]
    assert list(listed) == list(QUESTIONS)
    for name, question in listed.items():
        assert question["title"].endswith("?") and question["text"] and question["fields"]
        assert f"/api/{name}" in paths
        assert all(f["text"] for f in question["fields"] if f["required"]), name


def test_a_question_that_overruns_is_ended_and_the_server_goes_on():
    with TestClient(create_app(workers=1, limit=0.5), base_url="http://localhost") as client:
        response = client.post("/api/simulate", json=LOAD)
        assert response.status_code == 422 and error(response)["kind"] == "limit"
        end = time.monotonic() + 30
        while (after := client.post("/api/fit", json=SCENARIO)).status_code != 200:
            assert time.monotonic() < end, after.text


def test_long_work_streams_progress_and_then_its_answer(client):
    with client.stream("POST", "/api/simulate/stream", json={**SCENARIO, "rate": 2}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = [part for part in response.read().decode().split("\n\n") if part]
    assert events[0].startswith("event: progress") and events[-1].startswith("event: answer")
    answer = json.loads(events[-1].split("data: ", 1)[1])
    assert answer["answer"]["requests"]["value"] == 1000
    refused = client.post("/api/plan/stream", json={"model": "nope"})
    assert refused.status_code == 422 and "unknown model" in error(refused)["message"]
    with client.stream("POST", "/api/capacity/stream", json=SCENARIO) as response:
        assert "event: error" in response.read().decode()      # it lacks a target


def test_the_page_ships_whole_small_and_asks_only_this_server(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    names = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert len(names) >= 2 and "://" not in page.text
    sizes = []
    for name in names:
        asset = client.get(name)
        assert asset.status_code == 200 and "immutable" in asset.headers["cache-control"]
        sizes.append(len(gzip.compress(asset.content)))
    assert sum(sizes) < 1.5e6
