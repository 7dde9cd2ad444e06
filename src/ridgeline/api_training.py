"""The Python surface of training: a run, and the size of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ridgeline.questions.answer import Answer

__all__ = ["scale", "train"]


def train(model: str, on: str, *, tokens: float, search: bool = False, **fields: Any) -> Answer:
    """A training run: step time, utilisation, memory, days, dollars, energy.

    Args:
        model, on: as in `estimate`.
        tokens: of the whole run.
        search: the fastest valid layout that fits; takes no degrees.
        **fields: any field of `questions.train.TrainAsk` or of its layout: `seq=8192,
            batch_tokens=16e6, tp=8, pp=4, zero=1, recompute="full", precision="fp8",
            adapter_rank=16, frozen="nf4"`.

    Returns:
        an Answer with `step_s`, `tokens_per_s_per_chip`, `mfu`, `days`, `usd`, `fits`.

    Raises:
        BadInput: an unknown name, a value out of range, an impossible layout.
        Infeasible: a search finds no layout that fits.

    >>> train("Llama-3.1-8B", "64xH100-SXM", tokens=1e12, zero=3, recompute="full")["fits"]
    True
    """
    from ridgeline.questions.train import TrainAsk, best_layout
    from ridgeline.questions.train import train as ask

    asked = TrainAsk.from_fields({"model": model, "machine": on, "tokens": tokens, **fields})
    return ask(best_layout(asked) if search else asked)


def scale(**fields: Any) -> Answer:
    """Parameters, tokens and loss of a training run, and what serving changes.

    Args:
        **fields: any field of `questions.scale.ScaleAsk`: `compute=8.4e23`, or `params=70e9`, or
            `tokens=2e12`, and `law, inference_tokens, active_share, unique_tokens, rl_tokens`.

    Returns:
        an Answer with `params`, `tokens`, `flop`, `loss`, `tokens_per_param`, `saving_flop`.

    Raises:
        BadInput: nothing or contradictory things are given, or a law that does not exist.

    >>> round(scale(compute=5.76e23).value("params") / 1e9)
    72
    """
    from ridgeline.questions.scale import ScaleAsk
    from ridgeline.questions.scale import scale as ask

    return ask(ScaleAsk.from_fields(fields))
