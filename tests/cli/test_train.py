import json

import pytest
from click.testing import CliRunner

from ridgeline.cli.train import train
from ridgeline.errors import BadInput

RUN = ["Llama-3.1-8B", "--on", "64xH100-SXM", "--tokens", "1T", "--seq", "8192", "--batch", "4M"]


def test_json_has_the_promised_keys() -> None:
    done = CliRunner().invoke(train, [*RUN, "--zero", "3", "--recompute", "full", "--json"],
                              catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert {"step_s", "tokens_per_s_per_chip", "mfu", "hfu", "bubble_share", "memory_bytes",
            "fits", "days", "usd", "mwh", "flop"} <= set(json.loads(done.output)["answer"])


def test_what_does_not_fit_exits_3() -> None:
    done = CliRunner().invoke(train, ["Llama-3.1-70B", "--on", "8xH100-SXM", "--tokens", "1T"])
    assert done.exit_code == 3


def test_impossible_layouts_name_the_nearest() -> None:
    with pytest.raises(BadInput, match="Nearest valid: tp"):
        CliRunner().invoke(train, [*RUN, "--tp", "3"], catch_exceptions=False)
