"""How often at least one of k samples is right, and how often a vote is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ridgeline.errors import BadInput
from ridgeline.numeric import Numeric, exp

__all__ = ["coverage", "coverage_law", "fit_coverage_law", "majority_share", "pass_at_k",
           "samples_for_coverage"]


def coverage(*, success_rate: Numeric, samples: Numeric) -> Numeric:
    """Chance that at least one of k independent samples of one problem is right.

        c = 1 - (1 - p_one)^k

    Args:
        success_rate: chance that one sample is right p_one [1], any shape.
        samples: samples k [1], broadcast with it.
    Returns:
        a share [1].
    Valid for: one problem, independent samples, and a verifier that finds the right one.
    Sources: Brown et al., "Large Language Monkeys", arXiv 2407.21787.

    >>> round(coverage(success_rate=0.2, samples=16), 3)
    0.972
    """
    return 1.0 - (1.0 - success_rate) ** samples


def coverage_law(*, samples: Numeric, coverage_scale: Numeric,
                 coverage_exponent: Numeric) -> Numeric:
    """Mean coverage of a benchmark, whose problems differ in difficulty.

        c = exp(-a_cov * k^(-b_cov))

    Args:
        samples: samples of each problem k [1].
        coverage_scale: -log of the coverage of one sample a_cov [1].
        coverage_exponent: b_cov [1]; a power-law tail of hard problems has this exponent.
    Returns:
        a share [1].
    Valid for: the range of k it was fitted on; four orders of magnitude in the source.
    Sources: arXiv 2407.21787; why it is a power law: Schaeffer et al., arXiv 2502.17578.

    >>> round(coverage_law(samples=250, coverage_scale=1.8389, coverage_exponent=0.2090), 2)
    0.56
    """
    return exp(-coverage_scale * samples ** (-coverage_exponent))


def fit_coverage_law(samples: Sequence[float], covered: Sequence[float]) -> tuple[float, float]:
    """Scale and exponent of the coverage law by least squares on log(-log(coverage)).

    Args:
        samples: values of k, at least two different ones.
        covered: coverage at each, strictly between 0 and 1.

    Returns:
        (coverage_scale, coverage_exponent).

    Raises:
        BadInput: fewer than two points, or a coverage of 0 or 1, where the law has no value.

    >>> a, b = fit_coverage_law([1, 250], [0.159, 0.56])
    >>> round(a, 4), round(b, 4)
    (1.8389, 0.209)
    """
    if len(samples) != len(covered) or len(set(samples)) < 2:
        raise BadInput("a coverage law needs coverage at two or more different sample counts")
    for k, c in zip(samples, covered, strict=True):
        if not (k > 0 and math.isfinite(k)) or not 0 < c < 1:
            raise BadInput(f"a coverage law needs sample counts above 0 and coverage between 0 "
                           f"and 1, not {c:g} at {k:g}")
    x = [math.log(k) for k in samples]
    y = [math.log(-math.log(c)) for c in covered]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    slope = (sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
             / sum((a - mean_x) ** 2 for a in x))
    return math.exp(mean_y - slope * mean_x), -slope


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased estimate of pass@k of one problem from n samples of which c are right.

        pass@k = 1 - C(n - c, k) / C(n, k) = 1 - prod_{j = n-c+1..n} (1 - k / j)

    Args:
        n: samples drawn.
        c: right ones among them.
        k: samples the estimate is for.

    Returns:
        the chance that k of the n, drawn without replacement, hold a right one.

    Raises:
        BadInput: c not within 0 to n, or k not within 1 to n.

    Sources: Chen et al., arXiv 2107.03374; the stable product of arXiv 2502.17578.

    >>> round(pass_at_k(10, 3, 1), 4), round(pass_at_k(200, 3, 100), 4)
    (0.3, 0.8769)
    """
    if not 0 <= c <= n:
        raise BadInput(f"{c} right of {n} samples: right ones must be between 0 and the samples")
    if not 1 <= k <= n:
        raise BadInput(f"pass@{k} cannot be estimated from {n} samples; k must be 1 to {n}")
    if n - c < k:
        return 1.0
    # The product is the same with c and k exchanged: take the shorter one.
    few, many = min(c, k), max(c, k)
    left = 1.0
    for j in range(n - few + 1, n + 1):
        left *= 1.0 - many / j
    return 1.0 - left


def samples_for_coverage(success_rate: float, wanted: float) -> float:
    """Least samples of one problem that reach a coverage.

    Returns:
        a whole number, infinite where no number of samples is enough.

    Raises:
        BadInput: a share outside 0 to 1.

    >>> samples_for_coverage(0.2, 0.97)
    16.0
    """
    for name, value in (("success rate", success_rate), ("coverage", wanted)):
        if not 0 <= value <= 1:
            raise BadInput(f"{name} must be between 0 and 1, not {value:g}")
    if wanted == 0 or success_rate == 1:
        return 1.0
    if success_rate == 0 or wanted == 1:
        return math.inf
    return float(math.ceil(math.log1p(-wanted) / math.log1p(-success_rate) - 1e-9))


def majority_share(success_rate: float, samples: int, wrong_answers: int = 1) -> float:
    """Chance that a vote among samples is right.

    Wrong votes spread evenly over so many different wrong answers; ties are broken at random.
    With one wrong answer this is the binomial majority, exactly; with more, the mean of 20,000
    seeded draws (standard error below 0.004).

    Args:
        success_rate: chance that one sample is right.
        samples: votes, at most 100,000.
        wrong_answers: different wrong answers that compete, at most 100.

    Raises:
        BadInput: a share outside 0 to 1, or a count out of range.

    >>> round(majority_share(0.6, 3), 3), round(majority_share(0.4, 3), 3)
    (0.648, 0.352)
    """
    if not 0 <= success_rate <= 1:
        raise BadInput(f"success rate must be between 0 and 1, not {success_rate:g}")
    if not 1 <= samples <= 100_000 or not 1 <= wrong_answers <= 100:
        raise BadInput("a vote needs 1 to 100,000 samples and 1 to 100 wrong answers, not "
                       f"{samples} and {wrong_answers}")
    if wrong_answers > 1:
        return _drawn_majority(success_rate, samples, wrong_answers)
    total = sum(_binomial(samples, right, success_rate) for right in range(samples // 2 + 1,
                                                                          samples + 1))
    tie = _binomial(samples, samples // 2, success_rate) / 2 if samples % 2 == 0 else 0.0
    return min(1.0, total + tie)


def _drawn_majority(success_rate: float, samples: int, wrong_answers: int) -> float:
    import numpy as np

    shares = [success_rate] + [(1 - success_rate) / wrong_answers] * wrong_answers
    votes = np.random.default_rng(0).multinomial(samples, shares, size=20_000)
    best = votes.max(axis=1)
    leaders = (votes == best[:, None]).sum(axis=1)
    return float(np.mean((votes[:, 0] == best) / leaders))


def _binomial(n: int, k: int, p: float) -> float:
    if p in (0.0, 1.0):
        return float(k == (n if p else 0))
    log = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
           + k * math.log(p) + (n - k) * math.log1p(-p))
    return math.exp(log)
