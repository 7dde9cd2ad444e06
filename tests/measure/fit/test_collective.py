"""Fitting collectives: known constants come back, the same rows give the same content."""

import numpy as np
import pytest

from ridgeline.measure.fit import collective as fit
from ridgeline.measure.fit.expert_exchange import cases, compact_exchange


def table(groups=(2, 4), noise=0.0, repeats=1):
    """An NCCL table made from t = 5 us + steps * 1 us + V / 350e9 on an H100."""
    rng = np.random.default_rng(1)
    rows = {k: [] for k in ("gpu", "kernel", "version", "op", "n_gpus", "gpus_per_node", "bytes",
                            "time_us")}
    for op, times in (("all_reduce", 2), ("all_gather", 1)):
        for n in groups:
            for size in np.repeat(2.0 ** np.arange(9, 30), repeats):
                t = 5 + times * (n - 1) + times * (n - 1) / n * size / 350e9 * 1e6
                t *= np.exp(noise * rng.standard_normal())
                values = ("H100-SXM", "NCCL", "2.29.2", op, n, n, size, t)
                for key, value in zip(rows, values, strict=True):
                    rows[key].append(value)
    return {k: np.array(v) for k, v in rows.items()}


def test_a_made_up_machine_is_found_again():
    data = fit.points_of(table())
    content, curves = fit.fit_forms(data)
    for d in data:
        assert d.form(content) == pytest.approx(d.seconds, rel=0.12)
    assert all(abs(v) < 0.15 for c in curves for v in c.values)


def test_the_fit_is_deterministic():
    data = fit.points_of(table(noise=0.05))
    assert fit.fit_forms(data) == fit.fit_forms(data)


def test_an_unseen_group_is_near():
    from ridgeline.measure.fit.collective_folds import predict_points

    known, asked = fit.points_of(table((2, 4))), fit.points_of(table((3,)))
    model = fit.fit_forms(known)
    for d in asked:
        error = np.log(predict_points(model, d, d.bytes) / d.seconds)
        assert np.median(np.abs(error)) < 0.1


def test_compact_keeps_small_tables_and_medians_of_crowds():
    small = table()
    assert len(fit.compact(small)["bytes"]) == len(small["bytes"])
    crowd = table(noise=0.3, repeats=40)
    kept = fit.compact(crowd)
    assert len(kept["bytes"]) == 9 * len(small["bytes"])
    for full, few in zip(fit.points_of(crowd), fit.points_of(kept), strict=True):
        error = np.abs(np.log(few.seconds / full.seconds))
        assert np.median(error) < 0.15  # the median of nine of forty rows that scatter by 0.3


def test_exchange_tables_are_read_and_thinned():
    n = 40
    rows = {"gpu": np.array(["H100-SXM"] * n), "mode": np.array(["normal"] * n),
            "phase": np.array(["dispatch"] * n), "sms": np.array([""] * 10 + ["8"] * 30),
            "tokens": np.arange(1, n + 1), "hidden": np.full(n, 7168), "topk": np.full(n, 8),
            "experts": np.full(n, 256), "n_gpus": np.full(n, 8), "nodes": np.ones(n),
            "time_us": np.full(n, 30.0)}
    assert cases(rows)["sms"][0] == 20 and cases(rows)["sms"][-1] == 8
    kept = compact_exchange(rows)
    assert 10 <= len(kept["gpu"]) < n
    assert (kept["sms"] == "").sum() == 10
