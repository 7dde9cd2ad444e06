import numpy as np
import pytest

from ridgeline.errors import BadInput
from ridgeline.work.experts_read import distinct_experts, distinct_experts_skewed, zipf_inclusion


@pytest.mark.parametrize(("experts", "top_k", "skew"), [(8, 2, 0.5), (64, 6, 1.0), (256, 8, 0.7)])
def test_zipf_inclusion_matches_sampling_without_replacement(experts: int, top_k: int,
                                                             skew: float) -> None:
    inclusion = np.array(zipf_inclusion(experts, top_k, skew))
    assert inclusion.sum() == pytest.approx(top_k, rel=1e-9)
    assert (np.diff(inclusion) <= 0).all() and inclusion.max() <= 1
    rng = np.random.default_rng(1)
    log_weight = -skew * np.log(np.arange(1, experts + 1))
    draws = log_weight + rng.gumbel(size=(20_000, experts))
    chosen = np.argpartition(-draws, top_k, axis=1)[:, :top_k]
    sampled = np.bincount(chosen.ravel(), minlength=experts) / 20_000
    np.testing.assert_allclose(inclusion, sampled, atol=0.03)


@pytest.mark.parametrize("skew", [0.0, 0.5, 1.0])
def test_distinct_experts_match_simulated_batches(skew: float) -> None:
    experts, top_k, batch, trials = 64, 6, 16, 500
    rng = np.random.default_rng(2)
    log_weight = -skew * np.log(np.arange(1, experts + 1))
    seen = []
    for _ in range(trials):
        draws = log_weight + rng.gumbel(size=(batch, experts))
        seen.append(len(np.unique(np.argpartition(-draws, top_k, axis=1)[:, :top_k])))
    predicted = distinct_experts_skewed(inclusion=zipf_inclusion(experts, top_k, skew),
                                        batch_size=batch)
    assert predicted == pytest.approx(np.mean(seen), rel=0.02)


def test_no_skew_is_the_even_formula_and_skew_only_lowers_it() -> None:
    even = distinct_experts(n_experts=64, top_k=6, batch_size=10)
    assert distinct_experts_skewed(inclusion=zipf_inclusion(64, 6, 0.0),
                                   batch_size=10) == pytest.approx(even, rel=1e-9)
    assert distinct_experts_skewed(inclusion=zipf_inclusion(64, 6, 0.8), batch_size=10) < even
    assert zipf_inclusion(8, 8, 2.0) == [1.0] * 8


@pytest.mark.parametrize(("top_k", "skew", "message"), [
    (0, 0.5, "top_k is 0"), (9, 0.5, "top_k is 9"), (2, -1.0, "routing skew is -1.0"),
    (2, float("nan"), "routing skew is nan")])
def test_impossible_routing_is_refused(top_k: int, skew: float, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        zipf_inclusion(8, top_k, skew)
