"""price, cache, fleet, energy, rack and demand as commands: keys, files, and one clear line."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from ridgeline.cli.cache import cache
from ridgeline.cli.demand import demand
from ridgeline.cli.energy import energy
from ridgeline.cli.fleet import fleet
from ridgeline.cli.price import price
from ridgeline.cli.rack import rack
from ridgeline.errors import RidgelineError

ON = ["Llama-3.1-8B", "--on", "H100-SXM"]
COMMANDS: dict[str, click.Command] = {"price": price, "cache": cache, "fleet": fleet,
                                      "energy": energy, "rack": rack, "demand": demand}


def run(command: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments), catch_exceptions=False)


def answered(command: click.Command, *arguments: str) -> dict[str, Any]:
    done = run(command, *arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)
    return found


@pytest.mark.parametrize(("name", "arguments", "keys"), [
    ("price", [*ON, "--list-price", "0.1/0.4/0.01", "--speed", "1.0", "--usd-per-hour", "$2/h"],
     {"usd_per_mtok_input", "usd_per_mtok_output", "usd_per_mtok_cached", "margin_request",
      "fast_mode_price_multiple", "output_input_ratio"}),
    ("price", ["--infer", "3/15/0.3", "--price-step", "200k", "--cache-write", "3.75/6", "--on",
               "H100-SXM", "--active", "100B"],
     {"tokens_per_s_per_chip", "mfu_decode", "kv_bytes_per_token", "output_input_ratio"}),
    ("cache", [*ON, "--hold", "1min,1h", "--write", "1.1,2", "--read", "10%"],
     {"recompute_usd_per_mtok", "break_even_device_s", "cheapest_tier_3600s"}),
    ("fleet", ["100xH100-SXM", "280B", "--decode-mfu", "15%", "--growth", "2"],
     {"passes_per_s", "tokens_per_day", "users", "usd_per_mtok", "reused_compute_share"}),
    ("energy", [*ON, "--watts", "900", "--pue", "1.1"],
     {"joules_per_output_token", "watt_hours_per_request", "run_co2_tonnes"}),
    ("rack", ["1T", "--weights", "fp8", "--set", "power_limit=150kW", "--length", "100m"],
     {"max_chips", "binding_limit", "cables", "power_w", "largest_model_params"}),
    ("demand", [*ON, "--users", "2k", "--decode-only"],
     {"users_served", "chips_needed", "usd_per_user_month", "load"})])
def test_json_has_the_promised_keys(name: str, arguments: list[str], keys: set[str]) -> None:
    assert keys <= set(answered(COMMANDS[name], *arguments)["answer"])


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(name: str) -> None:
    done = run(COMMANDS[name], "--help")
    assert done.exit_code == 0 and f"ridgeline {name}" in done.output


def test_text_shows_dates_and_marks_stale_prices() -> None:
    done = run(price, *ON)
    assert "STALE" in done.output and "genai-prices" in done.output


def test_explain_prints_the_formulas() -> None:
    assert "token_cost = " in run(price, *ON, "--explain").output
    assert "break_even_hold = " in run(cache, *ON, "--explain").output
    assert "users_served = " in run(demand, *ON, "--explain").output


def test_files_are_written(tmp_path: Path) -> None:
    plot, sweep = tmp_path / "fast.svg", tmp_path / "sweep.csv"
    run(price, *ON, "--plot", str(plot), "--csv", str(sweep), "--rents", "2")
    assert plot.read_text().startswith("<svg")
    assert sweep.read_text().startswith("batch,context_tokens,usd_per_chip_hour")
    for command, arguments in ((cache, ON), (fleet, ["9xH100-SXM", "280B"]), (rack, []),
                               (demand, ON)):
        drawn = tmp_path / f"{command.name}.svg"
        run(command, *arguments, "--plot", str(drawn))
        assert drawn.stat().st_size > 1000


@pytest.mark.parametrize(("name", "arguments", "says"), [
    ("price", [*ON, "--usd-per-hour", "nan"], "write dollars"),
    ("price", [*ON, "--utilization", "0"], "utilization"),
    ("price", [*ON, "--list-price", "3"], "INPUT/OUTPUT"),
    ("price", [*ON, "--csv", "sweep.txt"], ".csv"),
    ("price", [*ON, "--speed", "99"], "out of reach"),
    ("price", [*ON, "--active", "3B"], "belongs to --infer"),
    ("price", ["--infer", "3/15", "--active", "1B"], "needs the chip"),
    ("price", ["--infer", "3/15", "--on", "H100-SXM"], "size of the model"),
    ("price", ["--infer", "no-such", "--on", "H100-SXM", "--active", "1B"], "unknown priced model"),
    ("price", ["--infer", "gpt-5.4", "--price-step", "1k", "--on", "H100-SXM", "--active", "1B"],
     "typed in"),
    ("cache", [*ON, "--hold", "5min"], "one write multiple"),
    ("cache", [*ON, "--hold", "5 bananas"], "hold"),
    ("cache", [*ON, "--plot", "keep.txt"], "must end in"),
    ("fleet", ["x", "280B"], "COUNTxCHIP"), ("fleet", ["9xH100-SXM", "280B", "--prompt", "0"],
                                             "prompt"),
    ("fleet", ["9xH100-SXM", "280B", "--tpot", "fast"], "quantity"),
    ("energy", [*ON, "--pue", "0.2"], "PUE"), ("energy", [*ON, "--plot", "x.svg"], "--accuracy"),
    ("energy", ["--retrieval", "lots"], "VECTORSxVALUES"),
    ("energy", ["--accuracy", "none.csv"], "cannot read"),
    ("energy", ["Llama-3.1-8B", "--retrieval", "1x1"], "one of"),
    ("rack", ["--set", "reach"], "FIELD=VALUE"), ("rack", ["--rack", "x"], "unknown rack"),
    ("demand", [*ON, "--token-rate", "1e9"], "promised"),
    ("demand", [*ON, "--compare", "H100-SMX"], "did you mean")])
def test_wrong_questions_get_one_line(name: str, arguments: list[str], says: str) -> None:
    with pytest.raises(RidgelineError, match=says) as failure:
        run(COMMANDS[name], *arguments)
    assert "\n" not in str(failure.value)
