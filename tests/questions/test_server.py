import http.server
import math
import threading

import pytest

from ridgeline.errors import BadInput
from ridgeline.questions.prometheus import Histogram, fetch, parse_samples, snapshot
from ridgeline.questions.server import check_server

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def histogram(name, bounds, total):
    labels = f'engine="0",model_name="{MODEL}"'
    lines = [f'vllm:{name}_bucket{{{labels},le="{le}"}} {count}' for le, count in bounds]
    return [*lines, f"vllm:{name}_sum{{{labels}}} {total}",
            f"vllm:{name}_count{{{labels}}} {bounds[-1][1]}"]


def page(*, running=48, waiting=0, usage=0.31, preempted=0, steps=1.0, engine="0"):
    """A page of our own numbers in vLLM's form; `steps` scales the counters."""
    labels = f'engine="{engine}",model_name="{MODEL}"'
    lines = ["# HELP vllm:num_requests_running Number of requests in model execution batches.",
             "# TYPE vllm:num_requests_running gauge",
             f"vllm:num_requests_running{{{labels}}} {running}.0",
             f"vllm:num_requests_waiting{{{labels}}} {waiting}.0",
             f"vllm:kv_cache_usage_perc{{{labels}}} {usage}",
             f"vllm:num_preemptions_total{{{labels}}} {preempted}.0",
             f"vllm:prompt_tokens_total{{{labels}}} {2e6 * steps}",
             f"vllm:generation_tokens_total{{{labels}}} {5e5 * steps}",
             f"vllm:prefix_cache_queries_total{{{labels}}} {1000 * steps}",
             f"vllm:prefix_cache_hits_total{{{labels}}} {250 * steps}",
             'vllm:cache_config_info{block_size="16",num_gpu_blocks="27000",cache_dtype="auto"} 1']
    n = int(1000 * steps)
    lines += histogram("time_to_first_token_seconds",
                       [("0.1", n // 5), ("0.25", n * 7 // 10), ("0.5", n), ("+Inf", n)], 0.21 * n)
    m = int(499000 * steps)
    lines += histogram("inter_token_latency_seconds",
                       [("0.01", m // 10), ("0.025", m * 9 // 10), ("+Inf", m)], 0.016 * m)
    lines += histogram("request_prompt_tokens", [("+Inf", n)], 2000.0 * n)
    lines += histogram("request_generation_tokens", [("+Inf", n)], 500.0 * n)
    return "\n".join(lines) + "\n"


@pytest.fixture
def served():
    """A real server whose pages the test sets; its address and the list of pages."""
    pages = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = (pages.pop(0) if len(pages) > 1 else pages[0]).encode()
            self.send_response(200 if self.path == "/metrics" else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", pages
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_running_server_is_read_over_http(served):
    address, pages = served
    pages.append(page())
    answer = check_server(snapshot(fetch(address)), fields={"machine": "H100-SXM"})
    assert answer.value("requests_running") == 48 and answer.value("kv_usage") == 0.31
    assert answer.value("kv_capacity_tokens") == 432000
    assert answer.value("context_mean_tokens") == pytest.approx(0.31 * 432000 / 48)
    assert answer.value("itl_mean_s") == pytest.approx(0.016)
    assert answer.value("ttft_p50_s") == pytest.approx(0.1 + 0.15 * 300 / 500)
    assert answer.value("prefix_hit_rate") == 0.25
    assert answer.value("itl_times_the_floor") > 1
    assert answer.value("itl_times_the_floor") == pytest.approx(
        0.016 / answer.value("itl_floor_s"))
    assert 0 < answer.value("mbu_decode") < 1
    assert any(t.name == "levers" for t in answer.tables)


def test_two_readings_give_the_rates_between_them(served):
    address, pages = served
    pages += [page(), page(steps=1.1)]
    first, second = snapshot(fetch(address)), snapshot(fetch(address + "/metrics"))
    answer = check_server(second, earlier=first, seconds=10.0)
    assert answer.value("output_tokens_per_s") == pytest.approx(5e4 / 10)
    assert answer.value("prompt_tokens_per_s") == pytest.approx(2e5 / 10)
    assert answer.value("itl_mean_s") == pytest.approx(0.016, rel=1e-3)


def test_a_server_begun_anew_is_counted_from_its_beginning():
    answer = check_server(snapshot(page(steps=0.1)), earlier=snapshot(page()), seconds=10.0)
    assert answer.value("output_tokens_per_s") == pytest.approx(5e4 / 10)


@pytest.mark.parametrize(("state", "binds"), [
    ({"waiting": 9, "usage": 0.97}, "KV cache memory"), ({"preempted": 3}, "KV cache memory"),
    ({"waiting": 9, "usage": 0.4}, "prompt compute"), ({"running": 0, "usage": 0.0}, "load"),
    ({"waiting": 9, "running": 1024, "usage": 0.5}, "sequence limit"), ({}, "engine time")])
def test_what_binds(state, binds):
    answer = check_server(snapshot(page(**state)), fields={"machine": "H100-SXM"})
    assert answer["binds"] == binds and answer["next_lever"]


def test_without_a_machine_there_is_no_roofline_but_an_answer():
    answer = check_server(snapshot(page()))
    assert "itl_floor_s" not in answer.quantities
    assert any("--on" in note for note in answer.notes)
    unknown = check_server(snapshot(page().replace(MODEL, "my-model")),
                           fields={"machine": "H100-SXM"})
    assert any("my-model" in note for note in unknown.notes)


def test_engines_are_added_up_and_their_cache_use_averaged():
    both = snapshot(page(usage=0.2) + page(engine="1", usage=0.4))
    assert both.engines == 2 and both.gauges["running"] == 96
    assert both.gauges["kv_usage"] == pytest.approx(0.3)
    assert both.kv_tokens == 2 * 432000


def test_older_names_are_known():
    old = page().replace("kv_cache_usage_perc", "gpu_cache_usage_perc").replace(
        "inter_token_latency_seconds", "time_per_output_token_seconds")
    assert snapshot(old).gauges["kv_usage"] == 0.31
    assert snapshot(old).histograms["itl"].mean == pytest.approx(0.016)


def test_quantiles_lie_in_their_bucket():
    found = Histogram(((1.0, 10.0), (2.0, 30.0), (math.inf, 40.0)), 60.0, 40.0)
    assert found.quantile(0.25) == 1.0 and found.quantile(0.5) == 1.5
    assert found.quantile(0.99) == 2.0 and found.mean == 1.5
    assert Histogram((), 0.0, 0.0).quantile(0.5) is None
    assert Histogram((), 0.0, 0.0).mean is None


def test_lines_of_the_format():
    text = ('a{x="1 } 2",y="a\\"b"} 3 1700000000\n\n# comment\nb NaN\nc{} +Inf\n'
            "d 1e-3")
    found = list(parse_samples(text))
    assert [f[0] for f in found] == ["a", "b", "c", "d"]
    assert found[0][1]["x"] == "1 } 2" and found[3][2] == 1e-3


@pytest.mark.parametrize("text", ["<html></html>", "vllm:x", "vllm:x abc", "up 1\n", "", "{} 3"])
def test_what_is_not_a_metrics_page_is_refused(text):
    with pytest.raises(BadInput) as error:
        snapshot(text)
    assert "\n" not in str(error.value)


def test_places_that_do_not_answer_are_named(served, tmp_path):
    address, pages = served
    pages.append(page())
    with pytest.raises(BadInput, match="404"):
        fetch(address + "/other")
    with pytest.raises(BadInput, match="cannot read"):
        fetch("http://127.0.0.1:1")
    with pytest.raises(BadInput, match="cannot read"):
        fetch(str(tmp_path / "none"))
    file = tmp_path / "metrics.txt"
    file.write_text(page(), encoding="utf-8")
    assert snapshot(fetch(str(file))).model == MODEL
