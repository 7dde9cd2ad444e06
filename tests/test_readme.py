"""The README quotes no accuracy that `ridgeline validate --held-out` does not print."""

import re
from pathlib import Path

import pytest

from ridgeline.measure.validate.page import held_out_errors

README = Path(__file__).resolve().parents[1] / "README.md"
# Words of the README -> (family, what was left out).
ROWS = {
    "GEMM, unseen shapes of a measured chip": ("gemm", "table"),
    "GEMM, chip left out, architecture measured": ("gemm", "architecture"),
    "prefill attention, unseen heads": ("attention_prefill", "table"),
    "decode attention, unseen heads": ("attention_decode", "table"),
    "latent attention, prefill": ("mla_prefill", "table"),
    "latent attention, decode": ("mla_decode", "table"),
    "experts, unseen geometry": ("moe", "table"),
    "linear attention": ("linear_attention", "table"),
    "collectives, unseen group or operation": ("collective", "unseen group or operation: all"),
    "time per output token, unseen deployment of a known model and chip":
        ("engines", "tpot inferencex seen"),
    "time per output token, model left out": ("engines", "tpot inferencex new_model"),
    "time per output token, chip left out": ("engines", "tpot inferencex new_chip"),
    "time to first token, unseen deployment of a known model and chip":
        ("engines", "ttft inferencex seen"),
    "time to first token, model left out": ("engines", "ttft inferencex new_model"),
    "time to first token, chip left out": ("engines", "ttft inferencex new_chip"),
    "serving throughput, model left out": ("throughput", "model held out"),
    "serving throughput, device left out": ("throughput", "device held out"),
    "one user, generation, model left out":
        ("single_stream", "generation, model held out, device known"),
    "one user, generation, device left out":
        ("single_stream", "generation, device held out, engine known"),
    "one user, prompt, model left out":
        ("single_stream", "prompt, model held out, device known"),
    "one user, prompt, device left out":
        ("single_stream", "prompt, device held out, engine known"),
    "training speed, model left out": ("training", "model held out"),
    "training speed, device left out": ("training", "device held out"),
}


def quoted() -> list[tuple[str, ...]]:
    """(what, rows, median, 90 %) of the accuracy table."""
    text = README.read_text(encoding="utf-8")
    found = re.findall(r"^\| ([^|]+) \| ([\d,]+) \| ([\d.]+) % \| ([\d.]+) % \|$", text, re.M)
    return [tuple(row) for row in found]


def test_the_table_is_there():
    assert {row[0] for row in quoted()} == set(ROWS)


@pytest.mark.parametrize("row", quoted(), ids=lambda row: row[0])
def test_quoted_errors_are_the_printed_ones(row):
    printed = {(family, left_out): errors for family, left_out, errors in held_out_errors()}
    errors = printed[ROWS[row[0]]]
    assert row[1:] == (f"{errors['n']:,}", f"{errors['median_ape_pct']:.1f}",
                       f"{errors['p90_ape_pct']:.1f}")
