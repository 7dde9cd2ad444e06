"""Single-stream and serving-throughput predictors over the shipped tables."""

import numpy as np
import pytest

from ridgeline.measure.truth.reader import read_table
from ridgeline.measure.validate.run import validate_table
from ridgeline.truth_data import shipped_file


@pytest.fixture(scope="module", params=["single_stream", "serving_throughput"])
def report(request):
    table = read_table(shipped_file(f"{request.param}.csv.xz"))
    # Every seventh row: a fixed sample over all sources that keeps this quick.
    return validate_table(table.take(np.arange(0, len(table), 7)), ("source",))


def overall(report):
    return {g.metric: g for g in report.groups if g.group == "all" and g.n}


def test_nearly_every_row_is_answered_and_the_rest_say_why(report):
    assert report.predicted >= 0.97 * (report.predicted + len(report.unanswered))
    assert all(u.reason for u in report.unanswered)


def test_rates_of_rows_that_were_fitted_are_close(report):
    found = overall(report)
    if report.schema == "single_stream":
        assert found["gen_tps"].median_ape_pct < 6 and found["prompt_tps"].median_ape_pct < 12
    else:
        assert found["output_tokens_per_s"].median_ape_pct < 13


def test_intervals_hold_at_least_what_they_say(report):
    """Widths come from held-out groups, so rows that were fitted lie inside more often."""
    for metric, found in overall(report).items():
        if found.n >= 30:
            assert found.coverage80_pct >= 74, metric
            assert found.coverage95_pct >= 88, metric
