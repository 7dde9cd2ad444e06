"""The command line as a user meets it: JSON keys, files written, and one line for wrong input."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ridgeline.cli import cli
from ridgeline.errors import RidgelineError

FIT_KEYS = {"fits", "weights_bytes", "kv_bytes_per_token", "state_bytes_per_sequence",
            "activation_bytes", "overhead_bytes", "kv_capacity_tokens", "max_concurrency",
            "max_context_tokens", "min_chips", "total_params", "active_params",
            "weights_total_bytes"}
ESTIMATE_KEYS = {"ttft_s", "tpot_s", "e2e_s", "output_tokens_per_s",
                 "output_tokens_per_s_per_chip", "mfu_prefill", "mfu_decode", "mbu_decode",
                 "bound_prefill", "bound_decode", "ttft_floor_s", "tpot_floor_s"}
MATMUL_KEYS = {"critical_batch_exact", "critical_batch_asymptotic", "critical_batch_integer",
               "intensity_flop_per_byte", "ridge_flop_per_byte", "t_math_s", "t_memory_s"}


def run(*arguments: str):
    return CliRunner().invoke(cli, list(arguments))


def answer(*arguments: str) -> dict:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.output)
    assert set(data) == {"question", "scenario", "answer", "tables", "notes", "derivation"}
    return data


@pytest.mark.parametrize(("command", "keys"), [
    (("fit", "Llama-3.1-70B", "--on", "8xH100-SXM"), FIT_KEYS),
    (("estimate", "Llama-3.1-70B", "--on", "8xH100-SXM"), ESTIMATE_KEYS),
    (("estimate", "Llama-3.1-70B", "--on", "8xH100-SXM", "--ideal"), ESTIMATE_KEYS),
    (("roofline", "--matmul", "B=?,D=4096,F=4096", "--on", "TPU-v5e"), MATMUL_KEYS),
])
def test_json_contract(command, keys):
    found = answer(*command)["answer"]
    assert keys <= set(found)
    for name in keys:
        value = found[name]
        assert "value" in value and "unit" in value
        if isinstance(value["value"], float) and "basis" in value:
            assert value["low"] <= value["value"] <= value["high"]


@pytest.mark.parametrize("arguments", [
    ("estimate",), ("estimate", "--ideal"), ("fit",), ("roofline",), ("fit", "--training"),
    ("estimate", "--explain"),
])
def test_text_fits_100_columns(arguments):
    command, *flags = arguments
    result = run(command, "Llama-3.1-8B", "--on", "8xH100-SXM", *flags)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 100


def test_saved_scenario_gives_the_same_answer(tmp_path):
    path = tmp_path / "s.toml"
    first = answer("estimate", "Llama-3.1-8B", "--on", "H100", "--prompt", "4k", "--concurrency",
                   "8", "--save-scenario", str(path))
    assert answer("estimate", "--scenario", str(path)) == first
    again = answer("estimate", "--scenario", str(path), "--concurrency", "4")
    assert again["scenario"]["workload"]["concurrency"] == 4


@pytest.mark.parametrize("ending", ["svg", "html", "png"])
def test_plots_are_written_whole(tmp_path, ending):
    path = tmp_path / f"roofline.{ending}"
    result = run("roofline", "Llama-3.1-8B", "--on", "H100", "--plot", str(path))
    assert result.exit_code == 0, result.output
    assert path.stat().st_size > 1000 and len(list(tmp_path.iterdir())) == 1


WRONG = [
    (("estimate", "Llama-3.1-70", "--on", "8xH100-SXM"), "Llama-3.1-70B"),
    (("estimate", "Llama-3.1-70B", "--on", "8xH100-SXM6"), "H100-SXM"),
    (("estimate", "Llama-3.1-70B"), "--on"),
    (("estimate", "Llama-3.1-70B", "--on", "0xH100"), "from 1 to"),
    (("estimate", "Llama-3.1-70B", "--on", "8xH100", "--tp", "3"), "tp"),
    (("estimate", "Llama-3.1-70B", "--on", "8xH100", "--tp", "16"), "16"),
    (("estimate", "Llama-3.1-70B", "--on", "8xH100", "--tp", "-1"), "tp"),
    (("estimate", "Llama-3.1-70B", "--on", "8xH100", "--tp", "two"), "tp"),
    (("estimate", "Llama-3.1-70B", "--on", "8xH100", "--weights", "fp7"), "fp7"),
    (("estimate", "Llama-3.1-70B", "--on", "8xH100", "--engine", "vlm"), "vllm"),
    (("estimate", "Llama-3.1-70B", "--on", "8xH100", "--prompt", "0"), "prompt"),
    (("estimate", "Llama-3.1-70B", "--on", "8xH100", "--prompt", "1e99"), "prompt"),
    (("estimate", "Llama-3.1-70B", "--on", "8xH100", "--memory-fraction", "2"), "memory_fraction"),
    (("estimate", "Llama-3.1-70B", "--on", "8xH100", "--ep", "4"), "expert"),
    (("estimate", "Llama-3.1-8B", "--on", "8xH100", "--plot", "x.gif"), ".svg"),
    (("estimate", "Llama-3.1-8B", "--on", "8xH100", "--plot", "/no/such/x.svg"), "/no/such"),
    (("estimate", "Llama-3.1-8B", "--scenario", "/no/such.toml"), "/no/such.toml"),
    (("fit", "Llama-3.1-8B", "--on", "8xH100", "--training", "--zero", "7"), "zero"),
    (("fit", "Llama-3.1-8B", "--on", "8xH100", "--training", "--optimizer", "adamz"), "adamw"),
    (("fit", "/no/such/config.json", "--on", "8xH100"), "/no/such"),
    (("roofline", "--matmul", "B=?,D=4096", "--on", "H100"), "F"),
    (("roofline", "--matmul", "B=1,D=x,F=2", "--on", "H100"), "D"),
    (("roofline", "--matmul", "B=?,D=1,F=1"), "--on"),
    (("roofline", "--matmul", "B=?,D=1,F=1", "--on", "H100", "--formats", "bf16"), "three"),
]


@pytest.mark.parametrize(("arguments", "says"), WRONG)
def test_wrong_input_is_one_line_and_exit_2(arguments, says):
    result = run(*arguments)
    if isinstance(result.exception, RidgelineError):
        code, text = result.exception.exit_code, str(result.exception)
    else:
        assert isinstance(result.exception, SystemExit), repr(result.exception)
        code, text = result.exit_code, result.output
    assert code == 2 and says in text, text
    if isinstance(result.exception, RidgelineError):
        assert "\n" not in text and len(text) < 400


def test_the_process_prints_one_line_and_no_traceback():
    done = subprocess.run([sys.executable, "-m", "ridgeline", "estimate", "Llama-3.1-70",
                           "--on", "8xH100"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("ridgeline: unknown model")


def test_what_does_not_fit_exits_3():
    result = run("fit", "Llama-3.1-405B", "--on", "H100")
    assert result.exit_code == 3 and "does not fit" in result.output
    refused = run("estimate", "Llama-3.1-405B", "--on", "H100")
    assert refused.exception.exit_code == 3 and "short on each" in str(refused.exception)


words = st.one_of(st.text(max_size=12), st.integers(-10**12, 10**12).map(str),
                  st.floats().map(str), st.sampled_from(["", "nan", "1e400", "8x", "x", "--", "é"]))
flags = st.sampled_from(["--tp", "--pp", "--ep", "--dp", "--cp", "--attention-dp", "--weights",
                         "--kv", "--engine", "--prompt", "--output", "--concurrency", "--context",
                         "--memory-fraction", "--max-num-seqs", "--prefix-hit", "--on"])


@settings(max_examples=150, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(flags, words), min_size=1, max_size=3),
       st.sampled_from(["fit", "estimate", "roofline"]))
def test_fuzzed_flags_never_give_a_traceback(pairs, command):
    extra = [part for pair in pairs for part in pair]
    result = run(command, "Llama-3.1-8B", "--on", "2xH100-SXM", "--ideal", *extra)
    if result.exception is not None:
        assert isinstance(result.exception, (RidgelineError, SystemExit)), repr(result.exception)


@pytest.mark.parametrize(("shell", "status", "said"), [
    ("estimate Llama-3.1-8B --on H100 >&-", 0, ""),
    ("estimate Llama-3.1-8B --on H100 > /dev/full", 2,
     "ridgeline: cannot go on: No space left on device"),
    ("--help > /dev/full", 2, "ridgeline: cannot go on: No space left on device"),
    ("fit Llama-3.1-8B 8xH100", 2, "ridgeline: do not know what to do with '8xH100'; a machine "
                                   "goes behind --on (see ridgeline fit --help)"),
])
def test_outputs_that_cannot_be_written_and_strays_are_one_line(shell, status, said):
    done = subprocess.run(f"{sys.executable} -m ridgeline {shell}", shell=True, text=True,
                          capture_output=True)
    assert (done.returncode, done.stderr.strip()) == (status, said)


@pytest.mark.parametrize(("arguments", "said"), [
    ("plan Llama-3.1-8B --on 2xH100 --usd-per-hour A100-SXM-80GB=2", "is not on offer"),
    ("train Llama-3.1-8B --on 8xH100 --tokens 1T --pue 0.5", "at least 1, not 0.5"),
    ("train Llama-3.1-8B --on 8xH100 --tokens 1T --restart 5GB", "--restart: '5GB' is in B"),
    ("rack --set power_limit=3m", "--set power_limit: '3m' is in m"),
    ("rack --set power_limit=", "write FIELD=VALUE"),
    ("rack 1Q", "parameters, such as 280B"),
    ("check Llama-3.1-8B --on H100", "nothing was measured of Llama-3.1-8B; give --ttft"),
    ("catalog chips --architecture Hoper", "did you mean 'Hopper'"),
    ("fit --catalog '' X --on H100", "--catalog needs a file name"),
])
def test_what_a_person_would_not_have_understood(arguments, said):
    done = subprocess.run(f"{sys.executable} -m ridgeline {arguments}", shell=True, text=True,
                          capture_output=True)
    assert done.returncode == 2 and said in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not done.stdout
