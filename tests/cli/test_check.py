import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from ridgeline.cli.check import check
from ridgeline.cli.exercise import exercise
from ridgeline.errors import BadInput

CLAIM = "100k tok/s prefill of Llama-3-70B on 8xH100 in bf16"


def run(command, *arguments):
    done = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_claim_in_text_and_json():
    text = run(check, CLAIM, "--explain")
    assert "impossible: 178 %" in text and "fp8 (89" in text and "prefill_ceiling = " in text
    assert all(len(line) <= 100 for line in text.splitlines())
    data = json.loads(run(check, CLAIM, "--json"))
    assert data["question"] == "check" and data["answer"]["verdict"]["value"] == "impossible"
    assert data["answer"]["limit_tokens_per_s"]["unit"] == "token/s"


def test_flags_stand_in_for_words():
    data = json.loads(run(check, "3200 tok/s", "--model", "Llama-3-70B", "--on", "8xH100",
                          "--concurrency", "64", "--context", "8k", "--json"))
    assert data["answer"]["share_of_limit"]["value"] == pytest.approx(0.576, abs=0.01)


def test_a_measurement_is_diagnosed():
    data = json.loads(run(check, "Llama-3.1-8B", "--on", "H100", "--prompt", "2000", "--output",
                          "500", "--concurrency", "32", "--tpot", "60ms", "--ttft", "2s",
                          "--json"))
    assert data["answer"]["verdict"]["value"] == "slower than expected"
    assert {"measures", "levers"} <= {t["name"] for t in data["tables"]}


def test_tables_are_graded_and_written(tmp_path):
    page, out = tmp_path / "claims.md", tmp_path / "graded.csv"
    text = run(check, "--audited", "--markdown", str(page), "--out", str(out))
    assert "189 of 190 verdicts agree" in text
    assert page.read_text("utf-8").startswith("# Claims")
    assert len(out.read_text("utf-8").splitlines()) == 191
    assert "not checkable" in run(check, str(out.with_name("x.csv"))) if (
        out.with_name("x.csv").write_text("quote\nhello\n", "utf-8")) else False


@pytest.mark.parametrize(("arguments", "words"), [
    (("hello",), "cannot read a claim"), ((CLAIM, "--audited"), "one thing at a time"),
    ((CLAIM, "--tp", "8"), "--tp says nothing about a claim"), (("x.csv",), "cannot read x.csv"),
    (("--metrics", "none.txt", "--interval", "3s"), "a file does not change"),
    (("--metrics", "http://127.0.0.1:1", "--interval", "0s"), "must be above 0"),
    (("Llama-3.1-8B", "--tpot", "3ms"), "needs a machine"),
    (("Llama-3.1-8B", "--on", "H100", "--tpot", "3 GB"), "--tpot"),
    (("Llama-3.1-8B", "--on", "H100", "--tpot", "-3ms"), "positive and finite"),
    (("--audited", "--on", "H100"), "--on says nothing"),
    ((CLAIM, "--out", "x.csv"), "--out goes with a table of claims only"),
    ((CLAIM, "--interval", "3s"), "--interval goes with --metrics only"),
    (("--json",), "nothing to check")])
def test_wrong_input_is_one_line(arguments, words):
    with pytest.raises(BadInput, match=words):
        CliRunner().invoke(check, list(arguments), catch_exceptions=False)


def test_exercises_are_listed_worked_and_graded():
    assert "17 exercises" in run(exercise)
    worked = json.loads(run(exercise, "3", "--json"))["answer"]
    assert worked["batch"]["value"] == pytest.approx(136.09, rel=1e-4)
    own = json.loads(run(exercise, "5", "--on", "A100", "--set", "D=8192", "--json"))
    assert own["answer"]["ridge"]["value"] == pytest.approx(153, rel=1e-3)
    assert "D=8192" not in str(own) and own["scenario"]["given"]["D"] == 8192
    assert "wrong" in run(exercise, "3", "--answer", "241.4")
    assert "asymptotic" in run(exercise, "5", "--answer", "296")
    assert "correct" in run(exercise, "units", "--part", "t_math", "--answer", "1.1ms")
    assert "I(B) = h" in run(exercise, "3a")


@pytest.mark.parametrize(("arguments", "words"), [
    (("99",), "unknown exercise"), (("3", "--set", "D"), "LETTER=NUMBER"),
    (("3", "--set", "Q=1"), "has no number 'Q'"), (("3", "--answer", "x"), "--answer"),
    (("--answer", "3"), "needs the exercise"), (("3", "--part", "batch"), "give both"),
    (("3", "--answer", "3", "--part", "no"), "part of exercise 3"),
    (("wall", "--on", "H100"), "leave --on out"), (("3", "--set", "D=0"), "positive")])
def test_wrong_input_of_exercises_is_one_line(arguments, words):
    with pytest.raises(BadInput, match=words):
        CliRunner().invoke(exercise, list(arguments), catch_exceptions=False)


def test_a_server_is_read_twice_for_its_rates():
    import http.server
    import threading

    counts = iter(range(1000, 100000, 1000))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = (f"vllm:num_requests_running 5\nvllm:num_requests_waiting 0\n"
                    f"vllm:generation_tokens_total {next(counts)}\n").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        found = json.loads(run(check, "--metrics", address, "--interval", "0.2s", "--json"))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert 0 < found["answer"]["output_tokens_per_s"]["value"] <= 1000 / 0.2
    assert found["answer"]["requests_running"]["value"] == 5


def test_exercises_are_drawn(tmp_path):
    picture = tmp_path / "three.svg"
    assert "wrote" in run(exercise, "3", "--plot", str(picture))
    assert "B*=136.1" in picture.read_text("utf-8")
    with pytest.raises(BadInput, match="nothing to draw"):
        run(exercise, "wall", "--plot", str(picture))
    with pytest.raises(BadInput, match="the name must end in"):
        run(exercise, "3", "--plot", "x.doc")


def test_a_bare_command_prints_its_help_whole():
    code = "import sys; sys.argv = ['ridgeline', 'check']; from ridgeline.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.count("\n") > 20 and not done.stderr
