"""Questions whose functions take objects, as functions of names and numbers; and their figures."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ridgeline.questions.simulation import Asked
from ridgeline.questions.train import TrainAsk
from ridgeline.scenario import Scenario

if TYPE_CHECKING:
    from ridgeline.questions.answer import Answer
    from ridgeline.questions.simulation import Simulated
    from ridgeline.report.figure import Figure


def matmul(machine: str, d_in: int, d_out: int, *, batch_size: float | None = None,
           formats: Sequence[str] = ("bf16", "bf16", "bf16"), compute: str | None = None,
           groups: int = 1, per_example: bool = False, sharded: int | None = None) -> Answer:
    """Critical batch, times and bounds of one matrix product X[B,D] Y[D,F] on a chip.

    Args:
        machine: chip, such as TPU-v5e.
        d_in: width of the input, D.
        d_out: width of the output, F.
        batch_size: rows B; left out, the critical batch is asked for.
        formats: number formats of X, Y and the result.
        compute: format whose peak is used; left out, as the formats imply.
        groups: matrices the rows are spread over, as experts are.
        per_example: whether each row has a matrix of its own.
        sharded: chips that share the contraction.

    Raises:
        BadInput: an unknown name or a size that is not positive.
    """
    from ridgeline.questions.roofline_matmul import roofline_matmul

    return roofline_matmul(**_product(machine, d_in, d_out, batch_size=batch_size,
                                      formats=formats, compute=compute, groups=groups,
                                      per_example=per_example, sharded=sharded))


def matmul_figure(machine: str, d_in: int, d_out: int, *, batch_size: float | None = None,
                  formats: Sequence[str] = ("bf16", "bf16", "bf16"), compute: str | None = None,
                  groups: int = 1, per_example: bool = False, sharded: int | None = None
                  ) -> Figure:
    """Attainable rate of the product against its batch. Arguments as for `matmul`."""
    from ridgeline.questions.roofline_matmul import matmul_figure as figure

    return figure(**_product(machine, d_in, d_out, batch_size=batch_size, formats=formats,
                             compute=compute, groups=groups, per_example=per_example,
                             sharded=sharded))


def _product(machine: str, d_in: int, d_out: int, *, formats: Sequence[str],
             **options: Any) -> dict[str, Any]:
    from ridgeline.machine.parse import parse_machine

    return {"chip": parse_machine(machine).chip, "d_in": float(d_in), "d_out": float(d_out),
            "formats": _three(formats), **options}


def _three(formats: Sequence[str]) -> tuple[str, ...]:
    from ridgeline.errors import BadInput

    if len(formats) != 3:
        raise BadInput(f"formats needs three names, of X, Y and the result, not {len(formats)}")
    return tuple(formats)


@functools.lru_cache(maxsize=4)
def _run(scenario: Scenario, asked: Asked) -> Simulated:
    from ridgeline.questions.simulation import run_simulation

    return run_simulation(scenario, asked)


def simulate(scenario: Scenario, asked: Asked | None = None) -> Answer:
    """What users wait: requests served one by one through the engine's scheduler.

    Raises:
        BadInput: an unknown name or a load that cannot be.
        Infeasible: the model, or no request, fits.
    """
    from ridgeline.questions.simulate import answer_of

    asked = asked or Asked()
    return answer_of(_run(scenario, asked), asked)


def simulate_figures(scenario: Scenario, asked: Asked | None = None) -> list[Figure]:
    """Percentiles of the waits, and requests over time."""
    from ridgeline.questions.simulate_figures import timeline_figure, waits_figure

    done = _run(scenario, asked or Asked())
    return [waits_figure(done), timeline_figure(done)]


def train(ask: TrainAsk, *, search: bool = False) -> Answer:
    """A training run: step time, utilisation, memory, days, dollars, energy.

    Args:
        ask: model, machine, layout, batch and prices.
        search: use the fastest valid layout that fits; the degrees given are ignored.

    Raises:
        BadInput: an unknown name, or an impossible layout with the nearest valid one.
        Infeasible: no layout fits.
    """
    from ridgeline.errors import BadInput
    from ridgeline.questions.train import best_layout
    from ridgeline.questions.train import train as answer

    if ask.layout.schedule == "interleaved" and ask.layout.vp == 1:
        raise BadInput("the interleaved schedule needs vp of 2 or more model chunks")
    return answer(best_layout(ask) if search else ask)
