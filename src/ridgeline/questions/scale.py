"""How large, how long? Compute-optimal and inference-aware sizes, loss, lifecycle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ridgeline.errors import BadInput, UnknownName
from ridgeline.explain.derivation import Derivation, Given
from ridgeline.quantity import Quantity, format_si, parse_number
from ridgeline.questions.answer import Answer, Cell, Table
from ridgeline.report.figure import Axis, Figure, Line, Scatter
from ridgeline.training import lifecycle, scaling
from ridgeline.training.kaplan import kaplan_params
from ridgeline.training.lifecycle import Optimum
from ridgeline.training.scaling import ParametricLaw

__all__ = ["ScaleAsk", "scale", "scale_figure"]

_PETAFLOP_DAY = 8.64e19


@dataclass(frozen=True)
class ScaleAsk:
    """What is known of a training run, and what it is for.

    Attributes:
        compute: budget [FLOP].
        params: active parameters.
        tokens: training tokens. Give one of the three, or params and tokens together.
        law: name of a scaling law.
        inference_tokens: tokens to be served over the model's life.
        train_mfu, serve_mfu: shares of the peak, when costs and not FLOP are balanced.
        active_share: active over total parameters of a mixture of experts.
        sparsity_exponent: worth of idle parameters, 0 to 1.
        unique_tokens: tokens there are, when data is short.
        rl_tokens: tokens of reinforcement-learning rollouts.
        elasticities: percent of quality for a percent more spending on pre-training, on
            reinforcement learning and on serving, as "0.4,0.3,0.3"; "": equal.
        seed: of the draws behind intervals.
    """

    compute: float | None = None
    params: float | None = None
    tokens: float | None = None
    law: str = scaling.DEFAULT_LAW
    inference_tokens: float = 0.0
    train_mfu: float = 1.0
    serve_mfu: float = 1.0
    active_share: float = 1.0
    sparsity_exponent: float = 0.5
    unique_tokens: float | None = None
    rl_tokens: float = 0.0
    elasticities: str = ""
    seed: int = 0

    @classmethod
    def from_fields(cls, given: Mapping[str, Any]) -> ScaleAsk:
        """Read names and texts such as {"compute": "8.4e23", "params": "70B"}.

        Raises:
            BadInput: an unknown name, a value that is no number or out of range.
        """
        known = {f.name for f in fields(cls)}
        for name in given:
            if name not in known:
                raise UnknownName.among("field of scale", name, known)
        read: dict[str, Any] = {}
        for name, value in given.items():
            if value is not None:
                read[name] = value if name in ("law", "elasticities") else _positive(name, value)
        if "seed" in read:
            read["seed"] = int(read["seed"])
        return cls(**read)


def _positive(name: str, value: Any) -> float:
    try:
        number = parse_number(value)
    except (TypeError, BadInput) as error:
        raise BadInput(f"{name} must be a number such as 8.4e23, 70B or 2T, not {value!r}"
                       ) from error
    least_allowed = name in ("inference_tokens", "rl_tokens", "seed", "sparsity_exponent")
    if not math.isfinite(number) or number < 0 or (number == 0 and not least_allowed):
        raise BadInput(f"{name} must be positive, not {value}")
    if name in ("train_mfu", "serve_mfu", "active_share", "sparsity_exponent") and number > 1:
        raise BadInput(f"{name} must be at most 1, not {value}")
    return number


def scale(ask: ScaleAsk) -> Answer:
    """Parameters, tokens and loss of a training run, and what serving changes.

    Args:
        ask: a budget, a size or an amount of data.

    Returns:
        an Answer with `params`, `tokens`, `flop`, `loss`, `tokens_per_param`, `saving_flop`;
        tables "laws" and, where asked for, "lifecycle".

    Raises:
        BadInput: nothing or contradictory things are given, or a law that does not exist.
    """
    given = [n for n in ("compute", "params", "tokens") if getattr(ask, n) is not None]
    if len(given) not in (1, 2) or (len(given) == 2 and "compute" in given):
        raise BadInput("give one of --compute, --params and --tokens, or --params and --tokens "
                       "together for a run that is not optimal")
    if ask.law == "kaplan":
        return _kaplan(ask)
    law = law_of(ask)
    start = _start(ask, law)
    best = _served(ask, law, start)
    quantities = _quantities(ask, law, start, best)
    tables = [_laws_table(start.train_flop)]
    if ask.inference_tokens or ask.rl_tokens or ask.elasticities:
        tables.append(_lifecycle_table(ask, best))
    return Answer("scale", _asked(ask), quantities, tuple(tables), _notes(ask, law),
                  _derivation(law, start))


def law_of(ask: ScaleAsk) -> ParametricLaw:
    """The law asked for, in active parameters."""
    law = scaling.get_law(ask.law)
    return law.sparse(ask.active_share, ask.sparsity_exponent) if ask.active_share < 1 else law


def _asked(ask: ScaleAsk) -> dict[str, Any]:
    default = ScaleAsk()
    return {f.name: getattr(ask, f.name) for f in fields(ask)
            if getattr(ask, f.name) != getattr(default, f.name) or f.name == "law"}


def _start(ask: ScaleAsk, law: ParametricLaw) -> Optimum:
    """The run before serving is thought of: given, or optimal for its training."""
    if ask.params is not None and ask.tokens is not None:
        worth = _fresh(ask, ask.tokens)
        return Optimum(ask.params, ask.tokens, float(law.loss(ask.params, worth)),
                       6.0 * ask.params * ask.tokens, 2.0 * ask.params * ask.inference_tokens)
    flop = ask.compute if ask.compute is not None else (
        law.flop_of_params(ask.params) if ask.params is not None
        else law.flop_of_tokens(ask.tokens or 0.0))
    if ask.unique_tokens is not None and ask.compute is not None:
        found = lifecycle.data_limited_optimum(law, flop, ask.unique_tokens)
        return Optimum(found.n_params, found.tokens, found.loss, found.train_flop,
                       2.0 * found.n_params * ask.inference_tokens)
    return lifecycle.compute_optimum(law, flop, ask.inference_tokens)


def _fresh(ask: ScaleAsk, tokens: float) -> float:
    if ask.unique_tokens is None:
        return tokens
    return float(scaling.repeated_tokens(tokens=tokens, unique_tokens=ask.unique_tokens))


def _served(ask: ScaleAsk, law: ParametricLaw, start: Optimum) -> Optimum:
    """The cheapest life that reaches the same loss; the run itself when nothing is served."""
    if not ask.inference_tokens:
        return start
    if ask.unique_tokens is not None:
        raise BadInput("unique_tokens and inference_tokens together are not modelled: a smaller "
                       "model needs more tokens than there are; leave one out")
    return lifecycle.serving_optimum(law, start.loss, ask.inference_tokens,
                                     train_mfu=ask.train_mfu, serve_mfu=ask.serve_mfu)


def _quantities(ask: ScaleAsk, law: ParametricLaw, start: Optimum, best: Optimum
                ) -> dict[str, Any]:
    from ridgeline.training.uncertainty import loss_interval, params_interval

    free = ask.params is None and ask.tokens is None and not ask.inference_tokens
    params = (params_interval(law, best.train_flop, ask.seed)
              if free and ask.unique_tokens is None
              else Quantity.exact(best.n_params, "param"))
    saved = start.flop - best.flop
    out: dict[str, Any] = {
        "params": params,
        "tokens": Quantity.exact(best.tokens, "token"),
        "flop": Quantity.exact(best.train_flop, "FLOP"),
        "loss": loss_interval(law, best.n_params, _fresh(ask, best.tokens), ask.seed),
        "tokens_per_param": Quantity.exact(best.tokens / best.n_params, "1"),
        "saving_flop": Quantity.exact(saved, "FLOP"),
        "saving_share": Quantity.exact(saved / start.flop, "1"),
        "flop_pf_days": Quantity.exact(best.train_flop / _PETAFLOP_DAY, "PFLOP/s-day"),
    }
    if ask.active_share < 1:
        out["total_params"] = Quantity.exact(best.n_params / ask.active_share, "param")
    if ask.inference_tokens:
        out |= {"training_optimal_params": Quantity.exact(start.n_params, "param"),
                "training_optimal_tokens": Quantity.exact(start.tokens, "token"),
                "serving_flop": Quantity.exact(best.serve_flop, "FLOP")}
    out["balanced_inference_tokens"] = Quantity.exact(float(lifecycle.balanced_serving_tokens(
        tokens=best.tokens, train_mfu=ask.train_mfu, serve_mfu=ask.serve_mfu)), "token")
    # Rollouts that cost what pre-training does: 8 FLOP a parameter and token against 6.
    out["balanced_rl_tokens"] = Quantity.exact(best.train_flop / float(lifecycle.rl_flop(
        n_params=best.n_params, rollout_tokens=1.0)), "token")
    return out


def _laws_table(flop: float) -> Table:
    """The same budget under every law."""
    rows: list[list[Cell]] = []
    for law in scaling.LAWS.values():
        n_params, tokens = (float(v) for v in law.split(flop))
        rows.append([law.name, n_params, tokens, tokens / n_params,
                     float(law.loss(n_params, tokens))])
    large = float(kaplan_params(flop=flop))
    tokens = float(scaling.budget_tokens(flop=flop, n_params=large))
    rows.append(["kaplan", large, tokens, tokens / large,
                 float(scaling.joint_power_loss(n_params=large, tokens=tokens))])
    rule = float(scaling.rule_of_thumb_params(flop=flop))
    rows.append(["20 tokens a parameter", rule, 20.0 * rule, 20.0, None])
    return Table.of("laws", {"law": "1", "params": "param", "tokens": "token",
                             "tokens_per_param": "1", "loss": "1"}, rows,
                    title=f"Optimum of {format_si(flop, 'FLOP')} by law (losses of different fits "
                          "do not compare)")


def _lifecycle_table(ask: ScaleAsk, best: Optimum) -> Table:
    """FLOP of each stage and its share."""
    stages = {"pre-training": best.train_flop,
              "reinforcement learning": float(lifecycle.rl_flop(
                  n_params=best.n_params, rollout_tokens=ask.rl_tokens)),
              "serving": best.serve_flop}
    worth = dict(zip(stages, _elasticities(ask.elasticities), strict=True))
    if not ask.elasticities:
        stages = {name: flop for name, flop in stages.items() if flop}
    worths = sum(worth[name] for name in stages)
    mfu = {"pre-training": ask.train_mfu, "serving": ask.serve_mfu}
    total = sum(stages.values())
    rows: list[list[Cell]] = []
    for name, flop in stages.items():
        taken = flop / mfu.get(name, 1.0)
        if name == "reinforcement learning":
            taken = float(lifecycle.rl_chip_seconds(
                n_params=best.n_params, rollout_tokens=ask.rl_tokens, peak_flops_per_s=1.0,
                train_mfu=ask.train_mfu, serve_mfu=ask.serve_mfu))
        best_share = float(lifecycle.budget_share(elasticity=worth[name], elasticity_sum=worths))
        rows.append([name, flop, flop / total, taken, best_share, best_share * total])
    return Table.of("lifecycle", {"stage": "1", "flop": "FLOP", "share": "1",
                                  "peak_flop_used": "FLOP", "best_share": "1",
                                  "best_flop": "FLOP"}, rows,
                    title="The model's whole life, and the split its elasticities deserve")


def _elasticities(text: str) -> tuple[float, ...]:
    """Three positive numbers; equal when not given.

    Raises:
        BadInput: anything else.
    """
    parts = [_positive("elasticities", part.strip()) for part in text.split(",")] if text else []
    if len(parts) not in (0, 3):
        raise BadInput("elasticities are three numbers, for pre-training, reinforcement learning "
                       f"and serving, such as 0.4,0.3,0.3; not {text!r}")
    return tuple(parts) or (1.0, 1.0, 1.0)


def _notes(ask: ScaleAsk, law: ParametricLaw) -> tuple[str, ...]:
    notes = [f"Law: {scaling.get_law(ask.law).source}."]
    if law.warning:
        notes.append(law.warning)
    if law.errors:
        notes.append("Intervals: published standard errors, each scale fully correlated with its "
                     "exponent (the covariance is not published).")
    if ask.active_share < 1:
        notes.append("Mixture of experts: FLOP follow active parameters, loss follows "
                     f"active^{1 - ask.sparsity_exponent:g} x total^{ask.sparsity_exponent:g}, "
                     "an assumption.")
    if ask.inference_tokens:
        notes.append("Fits on ordinary token ratios overstate the gain of extreme "
                     "over-training (Sardana et al. 2024).")
    return tuple(notes)


def _derivation(law: ParametricLaw, start: Optimum) -> tuple[Derivation, ...]:
    from ridgeline.explain.derivation import derive

    fitted = {n: Given(v, "measured", law.source) for n, v in law.allocation.items()}
    best = derive(scaling.optimal_params, {
        "flop": Given(start.train_flop, "assumed", "training budget"), **fitted})
    loss = derive(scaling.parametric_loss, {
        "n_params": Given(start.n_params, "derived", "above or as asked"),
        "tokens": Given(start.tokens, "derived", "C / (6 N) or as asked"),
        "loss_floor": Given(law.loss_floor, "measured", law.source), **fitted})
    return best, loss


def _kaplan(ask: ScaleAsk) -> Answer:
    """Kaplan's allocation, for contrast; it has no serving-aware form."""
    if ask.compute is None and not (ask.params and ask.tokens):
        raise BadInput("the kaplan law splits a budget: give --compute (or --params and --tokens)")
    if ask.inference_tokens or ask.active_share < 1 or ask.unique_tokens is not None:
        raise BadInput("the kaplan law knows no serving, experts or repeated data; use besiroglu")
    params = ask.params or float(kaplan_params(flop=ask.compute or 0.0))
    tokens = ask.tokens or float(scaling.budget_tokens(flop=ask.compute or 0.0, n_params=params))
    flop = 6.0 * params * tokens
    loss = float(scaling.joint_power_loss(n_params=params, tokens=tokens))
    return Answer("scale", _asked(ask), {
        "params": Quantity.exact(params, "param"), "tokens": Quantity.exact(tokens, "token"),
        "flop": Quantity.exact(flop, "FLOP"), "loss": Quantity.exact(loss, "1"),
        "tokens_per_param": Quantity.exact(tokens / params, "1"),
        "saving_flop": Quantity.exact(0.0, "FLOP")}, (_laws_table(flop),),
        ("Kaplan et al. 2020, arXiv 2001.08361: parameters without embeddings; overstates "
         "parameters beyond 10 PF-days (Hoffmann et al. 2022).",))


def scale_figure(ask: ScaleAsk) -> Figure:
    """IsoFLOP curves around the budget; with serving, cost of each size that meets the loss."""
    law = law_of(ask)
    start = _start(ask, law)
    return (_over_training(ask, law, start) if ask.inference_tokens
            else _iso_flop(law, start.train_flop))


def _steps(low: float, high: float, count: int = 61) -> list[float]:
    return [low * (high / low) ** (i / (count - 1)) for i in range(count)]


def _iso_flop(law: ParametricLaw, flop: float) -> Figure:
    lines: list[Line | Scatter] = []
    best: list[tuple[float, float]] = []
    for factor in (0.1, 0.316, 1.0, 3.16, 10.0):
        budget = factor * flop
        centre = float(law.split(budget)[0])
        sizes = _steps(centre / 10, centre * 10)
        losses = [float(law.loss(n, budget / (6 * n))) for n in sizes]
        lines.append(Line(sizes, losses, format_si(budget, "FLOP")))
        best.append((centre, float(law.loss(centre, budget / (6 * centre)))))
    lines.append(Scatter([n for n, _ in best], [v for _, v in best], "optimum", size=9))
    return Figure("IsoFLOP curves", Axis("parameters", log=True), Axis("loss"), tuple(lines),
                  subtitle=f"{law.name} law")


def _over_training(ask: ScaleAsk, law: ParametricLaw, start: Optimum) -> Figure:
    lines = []
    largest = float(law.split(law.flop_of_loss(start.loss))[0])
    for served in (0.0, ask.inference_tokens / 10, ask.inference_tokens,
                   10 * ask.inference_tokens):
        ratios, costs = [], []
        for n_params in _steps(largest / 12, largest * 1.5):
            tokens = law.tokens_for_loss(n_params, start.loss)
            if tokens / n_params < 2e4:
                ratios.append(tokens / n_params)
                costs.append(float(lifecycle.lifecycle_cost(
                    n_params=n_params, tokens=tokens, inference_tokens=served,
                    train_mfu=ask.train_mfu, serve_mfu=ask.serve_mfu)))
        lines.append(Line(ratios, costs, f"{format_si(served, 'token')} served"))
    return Figure("Cost of one loss, by how long it is trained",
                  Axis("tokens per parameter", log=True),
                  Axis("training and serving", "FLOP", log=True), tuple(lines),
                  subtitle=f"loss {start.loss:.3f}, {law.name} law")
