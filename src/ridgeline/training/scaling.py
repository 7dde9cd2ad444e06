"""Scaling laws: loss from parameters and tokens, and the split of a compute budget between them.

Published fits are in `LAWS`. The default is Besiroglu's refit of the Chinchilla data: it alone
reproduces Chinchilla itself (72 B parameters and 1.33 T tokens at 5.76e23 FLOP).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ridgeline.errors import BadInput, UnknownName
from ridgeline.numeric import Numeric

__all__ = ["DEFAULT_LAW", "LAWS", "ParametricLaw", "budget_tokens", "effective_params",
           "get_law", "joint_power_loss", "optimal_params", "parametric_loss", "power_law_loss",
           "repeated_tokens", "rule_of_thumb_params"]


def parametric_loss(*, n_params: Numeric, tokens: Numeric, loss_floor: Numeric,
                    param_scale: Numeric, param_exponent: Numeric, token_scale: Numeric,
                    token_exponent: Numeric) -> Numeric:
    """Loss of a model of N parameters trained on D tokens, Chinchilla form.

        L = E + A / N^alpha + B / D^beta

    Args:
        n_params: N [1].
        tokens: D [tokens].
        loss_floor: E, loss of an ideal model [1].
        param_scale: A [1].
        param_exponent: alpha [1].
        token_scale: B [1].
        token_exponent: beta [1].

    Returns:
        loss [1], nats a token.

    Valid for: one epoch, the data and family of the fit; 0.05 to 16 B parameters, beyond by
        extrapolation.
    Sources: Hoffmann et al. 2022, arXiv 2203.15556, eq. 2; Besiroglu et al. 2024, arXiv 2404.10102.
    >>> round(parametric_loss(n_params=87.7e9, tokens=1.6e12, loss_floor=1.8172,
    ...                       param_scale=482.01, param_exponent=0.3478, token_scale=2085.43,
    ...                       token_exponent=0.3658), 4)
    1.9642
    """
    return (loss_floor + param_scale / n_params ** param_exponent
            + token_scale / tokens ** token_exponent)


def optimal_params(*, flop: Numeric, param_scale: Numeric, param_exponent: Numeric,
                   token_scale: Numeric, token_exponent: Numeric) -> Numeric:
    """Parameters that make the loss of a training budget least.

        N = (alpha A / (beta B))^(1 / (alpha + beta)) * (C / 6)^(beta / (alpha + beta))

    Args:
        flop: C = 6 N D, the budget [FLOP].
        param_scale: A [1].
        param_exponent: alpha [1].
        token_scale: B [1].
        token_exponent: beta [1].

    Returns:
        parameters [1].

    Valid for: dense models, one epoch.
    Sources: Hoffmann et al. 2022, arXiv 2203.15556, eq. 4.
    >>> round(optimal_params(flop=8.4e23, param_scale=482.01, param_exponent=0.3478,
    ...                      token_scale=2085.43, token_exponent=0.3658) / 1e9, 1)
    87.7
    """
    both = param_exponent + token_exponent
    ratio = (param_exponent * param_scale / (token_exponent * token_scale)) ** (1.0 / both)
    return ratio * (flop / 6.0) ** (token_exponent / both)


def budget_tokens(*, flop: Numeric, n_params: Numeric) -> Numeric:
    """Tokens that a budget buys for a model.

        D = C / (6 N)

    Args:
        flop: C [FLOP].
        n_params: N, active parameters [1].

    Returns:
        tokens.

    Sources: forward 2 and backward 4 FLOP per parameter and token (Kaplan et al. 2020).
    >>> budget_tokens(flop=8.4e23, n_params=70e9)
    2000000000000.0
    """
    return flop / (6.0 * n_params)


def rule_of_thumb_params(*, flop: Numeric, tokens_per_param: Numeric = 20.0) -> Numeric:
    """Parameters when tokens are a fixed multiple of parameters.

        N = (C / (6 r))^(1/2)

    Args:
        flop: C [FLOP].
        tokens_per_param: r [token].

    Returns:
        parameters [1].

    Sources: Hoffmann et al. 2022: N and D grow alike, about 20 tokens a parameter.
    >>> round(rule_of_thumb_params(flop=8.4e23) / 1e9, 1)
    83.7
    """
    return (flop / (6.0 * tokens_per_param)) ** 0.5


def power_law_loss(*, amount: Numeric, reference: Numeric, exponent: Numeric) -> Numeric:
    """Loss when one of parameters, tokens and compute is scarce and the others are not.

        L = (X_c / X)^a

    Args:
        amount: X: parameters, tokens or FLOP [1].
        reference: X_c, where the loss would be 1 [1].
        exponent: a [1].

    Returns:
        loss [1].

    Sources: Kaplan et al. 2020, arXiv 2001.08361, eq. 1.1 to 1.3.
    >>> round(power_law_loss(amount=1.5e9, reference=8.8e13, exponent=0.076), 3)
    2.304
    """
    return (reference / amount) ** exponent


def joint_power_loss(*, n_params: Numeric, tokens: Numeric, param_reference: Numeric = 6.4e13,
                     token_reference: Numeric = 1.8e13, param_exponent: Numeric = 0.076,
                     token_exponent: Numeric = 0.103) -> Numeric:
    """Loss of N parameters and D tokens, Kaplan form.

        L = ((N_c / N)^(a_N / a_D) + D_c / D)^a_D

    Args:
        n_params: N, without embeddings [1].
        tokens: D [tokens].
        param_reference: N_c [1].
        token_reference: D_c [tokens].
        param_exponent: a_N [1].
        token_exponent: a_D [1].

    Returns:
        loss [1].

    Valid for: up to 1.5 B parameters as measured.
    Sources: Kaplan et al. 2020, arXiv 2001.08361, eq. 1.5 with the constants of the joint fit.
    >>> round(joint_power_loss(n_params=1.5e9, tokens=2.2e10), 2)
    2.31
    """
    return ((param_reference / n_params) ** (param_exponent / token_exponent)
            + token_reference / tokens) ** token_exponent


def effective_params(*, active_params: Numeric, total_params: Numeric,
                     sparsity_exponent: Numeric = 0.5) -> Numeric:
    """Dense model of the same quality as a mixture of experts.

        N = N_active * (N_total / N_active)^e

    Args:
        active_params: parameters a token uses [param].
        total_params: all parameters [param].
        sparsity_exponent: e: 0, idle experts are worth nothing; 1, as much as active ones [1].

    Returns:
        parameters [1].

    Valid for: a rule of thumb (the geometric mean at e = 0.5); the exponent is an assumption.
    Sources: practice; fits such as Clark et al. 2022 (arXiv 2202.01169) give exponents that fall
        with size.
    >>> round(effective_params(active_params=37e9, total_params=671e9) / 1e9, 1)
    157.6
    """
    return active_params * (total_params / active_params) ** sparsity_exponent


@dataclass(frozen=True)
class ParametricLaw:
    """A fitted L = E + A/N^alpha + B/D^beta.

    Attributes:
        name: key in `LAWS`.
        loss_floor, param_scale, param_exponent, token_scale, token_exponent: E, A, alpha, B, beta.
        errors: published standard errors by the same names; empty when none were published.
        source: the paper.
        warning: what to mind when using it.
    """

    name: str
    loss_floor: float
    param_scale: float
    param_exponent: float
    token_scale: float
    token_exponent: float
    source: str
    errors: Mapping[str, float] = field(default_factory=dict)
    warning: str = ""

    @property
    def allocation(self) -> dict[str, float]:
        """The constants that split a budget, as `optimal_params` takes them."""
        return {"param_scale": self.param_scale, "param_exponent": self.param_exponent,
                "token_scale": self.token_scale, "token_exponent": self.token_exponent}

    def loss(self, n_params: Numeric, tokens: Numeric) -> Numeric:
        """Loss of N parameters and D tokens."""
        return parametric_loss(n_params=n_params, tokens=tokens, loss_floor=self.loss_floor,
                               **self.allocation)

    def split(self, flop: Numeric) -> tuple[Numeric, Numeric]:
        """Parameters and tokens of least loss for a budget."""
        n_params = optimal_params(flop=flop, **self.allocation)
        return n_params, budget_tokens(flop=flop, n_params=n_params)

    def flop_of_params(self, n_params: float) -> float:
        """The budget whose optimum has so many parameters [FLOP]."""
        one = float(optimal_params(flop=6.0, **self.allocation))
        share = self.token_exponent / (self.param_exponent + self.token_exponent)
        return float(6.0 * (n_params / one) ** (1.0 / share))

    def flop_of_tokens(self, tokens: float) -> float:
        """The budget whose optimum has so many tokens [FLOP]."""
        one = float(optimal_params(flop=6.0, **self.allocation))
        share = self.param_exponent / (self.param_exponent + self.token_exponent)
        return float(6.0 * (tokens * one) ** (1.0 / share))

    def sparse(self, active_share: float, sparsity_exponent: float = 0.5) -> ParametricLaw:
        """The law in active parameters of a mixture of experts, by `effective_params`.

        Raises:
            BadInput: a share that is not above 0 and at most 1.
        """
        if not 0 < active_share <= 1:
            raise BadInput(f"active_share must be above 0 and at most 1, not {active_share:g}")
        worth = float(effective_params(active_params=1.0, total_params=1.0 / active_share,
                                       sparsity_exponent=sparsity_exponent))
        return replace(self, param_scale=self.param_scale / worth ** self.param_exponent)

    def tokens_for_loss(self, n_params: float, loss: float) -> float:
        """Tokens that bring N parameters to a loss: (B / (L - E - A/N^alpha))^(1/beta).

        Infinite when the model is too small for it.
        """
        left = loss - self.loss_floor - self.param_scale / n_params ** self.param_exponent
        if left <= 0:
            return math.inf
        return float((self.token_scale / left) ** (1.0 / self.token_exponent))

    def flop_of_loss(self, loss: float) -> float:
        """The least budget that reaches a loss [FLOP].

        Raises:
            BadInput: no budget does.
        """
        if loss <= self.loss_floor:
            raise BadInput(f"loss {loss:g} is not above the floor of the {self.name} law, "
                           f"{self.loss_floor:g}")
        # Along the optimum alpha A/N^alpha = beta B/D^beta, so both terms follow from N alone.
        alpha, beta = self.param_exponent, self.token_exponent
        term = (loss - self.loss_floor) / (1.0 + alpha / beta)
        return self.flop_of_params(float((self.param_scale / term) ** (1.0 / alpha)))


LAWS = {law.name: law for law in (
    ParametricLaw(
        "besiroglu", 1.8172, 482.01, 0.3478, 2085.43, 0.3658,
        "Besiroglu et al. 2024, Chinchilla scaling: a replication attempt, arXiv 2404.10102",
        {"loss_floor": 0.02566, "param_scale": 124.52232, "param_exponent": 0.01540,
         "token_scale": 1293.28410, "token_exponent": 0.02060}),
    ParametricLaw(
        "hoffmann", math.exp(0.5267228), math.exp(6.0073404), 0.33917084, math.exp(6.0179186),
        0.2849083, "Hoffmann et al. 2022, arXiv 2203.15556, approach 3, unrounded constants",
        warning="Hoffmann's third fit disagrees with its own first two and with Chinchilla "
                "itself; besiroglu is the refit of the same data."),
    ParametricLaw(
        "sardana", 1.69, 406.4, 0.336, 410.7, 0.283,
        "Sardana et al. 2024, arXiv 2401.00448: Chinchilla constants as that paper uses them",
        warning="Constants of one paper's worked examples; besiroglu is the refit of the data."),
    ParametricLaw(
        "hoffmann_rounded", 1.69, 406.4, 0.34, 410.7, 0.28,
        "Hoffmann et al. 2022, arXiv 2203.15556, as printed",
        warning="The two-decimal constants are up to 5x off in tokens per parameter; use them "
                "only to reproduce others' numbers."),
)}
DEFAULT_LAW = "besiroglu"


def get_law(name: str) -> ParametricLaw:
    """The parametric law of that name.

    Raises:
        UnknownName: not in `LAWS`.
    """
    try:
        return LAWS[name]
    except KeyError:
        raise UnknownName.among("scaling law", name, [*LAWS, "kaplan"],
                                "There are: " + ", ".join([*LAWS, "kaplan"])) from None


def repeated_tokens(*, tokens: Numeric, unique_tokens: Numeric,
                    repeat_decay: Numeric = 15.39) -> Numeric:
    """Fresh tokens that are worth as much as several epochs over limited data.

        D' = U + U * R * (1 - exp(-max(D / U - 1, 0) / R)), and D where D < U

    Args:
        tokens: D, tokens processed [tokens].
        unique_tokens: U, tokens there are [token].
        repeat_decay: R, repeats after which the worth of a repeat fell to 1/e [1].

    Returns:
        tokens.

    Sources: Muennighoff et al. 2023, Scaling data-constrained language models, arXiv 2305.16264.
    >>> round(repeated_tokens(tokens=4e12, unique_tokens=1e12) / 1e12, 2)
    3.73
    """
    from ridgeline.numeric import exp, maximum, minimum

    repeats = maximum(tokens / unique_tokens - 1.0, 0.0)
    return (minimum(tokens, unique_tokens)
            + unique_tokens * repeat_decay * (1.0 - exp(-1.0 * repeats / repeat_decay)))
