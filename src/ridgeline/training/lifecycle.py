"""A model's whole life: pre-training, reinforcement learning and serving, in FLOP and in money."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ridgeline.errors import BadInput
from ridgeline.numeric import Numeric
from ridgeline.training.scaling import ParametricLaw

__all__ = ["Optimum", "balanced_serving_tokens", "budget_share", "compute_optimum",
           "data_limited_optimum", "lifecycle_cost", "rl_chip_seconds", "rl_flop",
           "serving_optimum"]


@dataclass(frozen=True)
class Optimum:
    """Parameters and tokens that reach a loss, with what training and serving them take [FLOP]."""

    n_params: float
    tokens: float
    loss: float
    train_flop: float
    serve_flop: float

    @property
    def flop(self) -> float:
        """Training and serving together."""
        return self.train_flop + self.serve_flop


def lifecycle_cost(*, n_params: Numeric, tokens: Numeric, inference_tokens: Numeric,
                   train_mfu: Numeric = 1.0, serve_mfu: Numeric = 1.0) -> Numeric:
    """FLOP of peak time that training and serving a model take.

        cost = 6 N D / mfu_train + 2 N D_inf / mfu_serve

    Args:
        n_params: N, active parameters [1].
        tokens: D, training tokens [tokens].
        inference_tokens: D_inf, tokens served over its life [token].
        train_mfu: share of the peak that training reaches; 1 counts plain FLOP [1].
        serve_mfu: share of the peak that serving reaches [1].

    Returns:
        FLOP.

    Sources: Sardana et al. 2024, Beyond Chinchilla-optimal, arXiv 2401.00448, eq. 2.
    >>> lifecycle_cost(n_params=1e9, tokens=2e10, inference_tokens=6e10)
    2.4e+20
    """
    return n_params * (6.0 * tokens / train_mfu + 2.0 * inference_tokens / serve_mfu)


def balanced_serving_tokens(*, tokens: Numeric, train_mfu: Numeric = 1.0,
                            serve_mfu: Numeric = 1.0) -> Numeric:
    """Tokens served when serving costs as much as pre-training did.

        6 N D / mfu_train = 2 N D_inf / mfu_serve,  D_inf = 3 D * mfu_serve / mfu_train

    Args:
        tokens: D, training tokens [tokens].
        train_mfu: share of the peak that training reaches [1].
        serve_mfu: share of the peak that serving reaches [1].

    Returns:
        tokens.

    Sources: own derivation from 6 N D and 2 N D_inf.
    >>> balanced_serving_tokens(tokens=20e12) / 1e12
    60.0
    """
    return 3.0 * tokens * serve_mfu / train_mfu


def rl_flop(*, n_params: Numeric, rollout_tokens: Numeric,
            trained_share: Numeric = 1.0) -> Numeric:
    """FLOP of reinforcement learning: rollouts are decoded, the kept ones trained on.

        flop = (2 + 6 * share) * N * D_rl

    Args:
        n_params: N, active parameters [1].
        rollout_tokens: D_rl, tokens generated [token].
        trained_share: share of them that is trained on [1].

    Returns:
        FLOP.

    Sources: forward 2, training 6 FLOP per parameter and token.
    >>> rl_flop(n_params=100e9, rollout_tokens=15e12)
    1.2e+25
    """
    return (2.0 + 6.0 * trained_share) * n_params * rollout_tokens


def rl_chip_seconds(*, n_params: Numeric, rollout_tokens: Numeric, peak_flops_per_s: Numeric,
                    trained_share: Numeric = 1.0, train_mfu: Numeric = 0.4,
                    serve_mfu: Numeric = 0.1) -> Numeric:
    """Chip time of reinforcement learning, rollouts at decode speed.

        t = N D_rl (2 / mfu_decode + 6 share / mfu_train) / C

    Args:
        n_params: N, active parameters [1].
        rollout_tokens: D_rl, tokens generated [token].
        peak_flops_per_s: C of one chip [FLOP/s].
        trained_share: share of the rollouts that is trained on [1].
        train_mfu: share of the peak that training reaches [1].
        serve_mfu: share of the peak that decoding reaches [1].

    Returns:
        chip-seconds [s].

    Sources: own derivation.
    >>> round(rl_chip_seconds(n_params=1e9, rollout_tokens=1e9, peak_flops_per_s=1e15), 1)
    35000.0
    """
    return (n_params * rollout_tokens / peak_flops_per_s
            * (2.0 / serve_mfu + 6.0 * trained_share / train_mfu))


def budget_share(*, elasticity: Numeric, elasticity_sum: Numeric) -> Numeric:
    """Share of a budget that a stage deserves when quality is a product of powers of spending.

        maximise prod C_i^e_i  s.t.  sum C_i = C   ->   C_i / C = e_i / sum e

    Args:
        elasticity: e_i, percent of quality for a percent more spending on this stage [1].
        elasticity_sum: sum of e over all stages [1].

    Returns:
        share [1].

    Valid for: independent stages; equal elasticities give equal spending.
    Sources: Lagrange multipliers, own derivation.
    >>> round(budget_share(elasticity=1.0, elasticity_sum=3.0), 3)
    0.333
    """
    return elasticity / elasticity_sum


def _least(low: float, high: float, cost: Callable[[float], float]) -> float:
    """Where a function with one valley is least, by golden section over (low, high)."""
    golden = (math.sqrt(5.0) - 1.0) / 2.0
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = cost(left), cost(right)
    for _ in range(120):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = cost(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = cost(right)
    return (low + high) / 2.0


def _optimum(law: ParametricLaw, n_params: float, tokens: float, serve: float) -> Optimum:
    return Optimum(n_params, tokens, float(law.loss(n_params, tokens)), 6.0 * n_params * tokens,
                   2.0 * n_params * serve)


def compute_optimum(law: ParametricLaw, flop: float, inference_tokens: float = 0.0) -> Optimum:
    """The least loss a training budget buys.

    Raises:
        BadInput: a budget that is not positive.
    """
    if not flop > 0:
        raise BadInput(f"a compute budget must be positive, not {flop:g} FLOP")
    n_params, tokens = law.split(flop)
    return _optimum(law, float(n_params), float(tokens), inference_tokens)


def serving_optimum(law: ParametricLaw, loss: float, inference_tokens: float, *,
                    train_mfu: float = 1.0, serve_mfu: float = 1.0) -> Optimum:
    """Parameters and tokens that reach a loss with the least training and serving cost.

    Minimises `lifecycle_cost` over N with D from the loss (Sardana et al. 2024); serving makes the
    answer smaller and longer trained than the compute optimum.

    Raises:
        BadInput: a loss below the law's floor, a negative demand, an MFU out of range.
    """
    if not (inference_tokens >= 0 and 0 < train_mfu <= 1 and 0 < serve_mfu <= 1):
        raise BadInput("inference tokens must be 0 or more and each MFU above 0 and at most 1")
    most = law.split(law.flop_of_loss(loss))[0]
    least = (law.param_scale / (loss - law.loss_floor)) ** (1.0 / law.param_exponent)

    def cost(log_params: float) -> float:
        n_params = math.exp(log_params)
        tokens = law.tokens_for_loss(n_params, loss)
        return float(lifecycle_cost(n_params=n_params, tokens=tokens,
                                    inference_tokens=inference_tokens, train_mfu=train_mfu,
                                    serve_mfu=serve_mfu))

    best = math.exp(_least(math.log(least), math.log(float(most)) + 0.01, cost))
    return _optimum(law, best, law.tokens_for_loss(best, loss), inference_tokens)


def data_limited_optimum(law: ParametricLaw, flop: float, unique_tokens: float) -> Optimum:
    """The least loss of a budget when only so many tokens exist and repeats are worth less.

    Raises:
        BadInput: a budget or a corpus that is not positive.
    """
    from ridgeline.training.scaling import repeated_tokens

    if not (flop > 0 and unique_tokens > 0):
        raise BadInput("a compute budget and a corpus must both be positive")

    def worth(n_params: float) -> float:
        tokens = flop / (6.0 * n_params)
        return float(law.loss(n_params, repeated_tokens(tokens=tokens,
                                                        unique_tokens=unique_tokens)))

    free = math.log(float(law.split(flop)[0]))
    best = math.exp(_least(free - 0.01, free + 7.0, lambda x: worth(math.exp(x))))
    tokens = flop / (6.0 * best)
    return Optimum(best, tokens, worth(best), flop, 0.0)
