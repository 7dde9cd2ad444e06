"""Group folds never split a group; a physical fit finds the constants; errors are what they say."""

import numpy as np
import pytest

from ridgeline.measure.fit.fitting import (
    cross_validated,
    error_table,
    errors,
    fit_physical,
    group_folds,
    group_ids,
    thin,
)


def test_folds_keep_groups_whole_and_use_every_fold():
    groups = np.repeat(np.arange(40), 7)
    folds = group_folds(groups, 4)
    assert all(len(set(folds[groups == g])) == 1 for g in range(40))
    assert np.bincount(folds).tolist() == [70, 70, 70, 70]


def test_group_ids_tell_combinations_apart():
    ids = group_ids(np.array([1, 1, 2, 2]), np.array(["a", "b", "a", "a"]))
    assert len(set(ids[:3])) == 3 and ids[2] == ids[3]


def test_thin_is_deterministic_and_bounded():
    rows = {"a": np.arange(1000), "b": np.arange(1000) * 2}
    first, second = thin(rows, 100), thin(rows, 100)
    assert len(first["a"]) == 100
    np.testing.assert_array_equal(first["a"] * 2, second["b"])


def test_physical_fit_recovers_launch_time_and_bandwidth_despite_outliers():
    rng = np.random.default_rng(0)
    size = 10 ** rng.uniform(3, 9, 2000)
    seconds = (3e-6 + size / 2e12) * np.exp(rng.normal(0, 0.02, 2000))
    seconds[::50] *= 10
    found = fit_physical(lambda c, r: np.exp(c[0]) + r["size"] / np.exp(c[1]), {"size": size},
                         seconds, [-11, 27], [(-16, -9), (24, 32)])
    assert np.exp(found) == pytest.approx([3e-6, 2e12], rel=0.02)


def test_cross_validation_never_shows_a_fold_its_own_rows():
    seconds, groups = np.repeat([1.0, 2.0, 3.0, 4.0], 5), np.repeat(np.arange(4), 5)

    def fit(rows, known):
        return lambda asked: np.full(len(asked["x"]), float(not set(asked["x"]) & set(known)))

    out = cross_validated(fit, {"x": seconds}, seconds, groups)
    assert out.tolist() == [1.0] * 20


def test_error_rows_and_coverage():
    row = errors(np.array([1.1, 0.9, 2.0]), np.ones(3), np.array([1.0, 0.5, 1.5]), np.full(3, 2.0))
    assert row.median_ape == pytest.approx(0.1) and row.coverage80 == pytest.approx(2 / 3)
    assert row.bias == pytest.approx(0.1)
    table = error_table(np.array(["a", "b", "b"]), np.array([1.0, 2, 2]), np.ones(3))
    assert table["a"].median_ape == 0 and table["b"].bias == pytest.approx(1.0)
    assert table["all"].rows == 3
