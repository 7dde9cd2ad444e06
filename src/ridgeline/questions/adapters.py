"""Questions whose functions take objects, as functions of names and numbers; and their figures."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ridgeline.questions.fleet import FleetAsk
from ridgeline.questions.plan import PlanAnswer
from ridgeline.questions.plan_ask import PlanAsk
from ridgeline.questions.price import PriceAsk
from ridgeline.questions.retrieve import RetrieveAsk
from ridgeline.questions.simulate_asked import Asked
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


def plan(ask: PlanAsk, progress: Any = None) -> PlanAnswer:
    """The best deployment under the targets, out of every valid one, and the frontier.

    Raises:
        BadInput: names or numbers that make no sense, or contradict each other.
        Infeasible: nothing fits, or nothing meets the targets.
    """
    from ridgeline.questions.plan import plan as answer

    tell = None if progress is None else (
        lambda what, done, whole: progress(done, whole, what))
    return answer(ask, tell)


def price_figure(ask: PriceAsk) -> Figure:
    """Output price against the speed of a user, one line a context."""
    from ridgeline.questions.price import priced
    from ridgeline.questions.price_tables import price_figure as figure

    return figure(priced(ask))


def infer_price(input_usd: float, output_usd: float, on: str, active_params: float, *,
                cached_usd: float | None = None, usd_per_hour: float | None = None,
                compute: str = "bf16", prefill_mfu: float = 0.6, utilisation: float = 1.0,
                margin: float = 0.0) -> Answer:
    """What a price list gives away about how a model is served.

    Args:
        input_usd: list price of input [USD/Mtok].
        output_usd: list price of output [USD/Mtok].
        on: chip it is thought to run on, such as H100-SXM.
        active_params: parameters a token uses, known or guessed.
        cached_usd: list price of cached input [USD/Mtok].
        usd_per_hour: rent of one chip; left out, the catalog's.
        compute: format of the peak.
        prefill_mfu: share of the peak that prompts reach.
        utilisation: share of the capacity that is sold.
        margin: share of the price that the seller keeps.

    Raises:
        BadInput: an unknown chip, or a number out of range.
    """
    from ridgeline.questions.price_infer import InferAsk, given_row
    from ridgeline.questions.price_infer import infer_price as answer

    others = {} if cached_usd is None else {"cached_read_usd_per_mtok": cached_usd}
    return answer(InferAsk(given_row(input_usd, output_usd, **others), on, active_params,
                           usd_per_hour=usd_per_hour, compute=compute, prefill_mfu=prefill_mfu,
                           utilisation=utilisation, margin=margin))


def retrieve_figure(answer: Answer, ask: RetrieveAsk) -> Figure:
    """Seconds of each stage of a request, or of a search as the collection grows."""
    from ridgeline.questions.retrieve import plan_of
    from ridgeline.questions.retrieve_tables import retrieve_figure as figure

    return figure(answer, plan_of(ask))


def fleet(ask: FleetAsk) -> Answer:
    """What a fleet can do: passes, tokens, users and dollars by pool, chip by chip, to 2030.

    Raises:
        BadInput: an unknown chip or model, or a number out of range.
    """
    from ridgeline.questions.fleet import fleet as answer

    return answer(ask)


def check(claim: str, *, model: str | None = None, machine: str | None = None,
          weights: str | None = None, prompt: float | None = None, context: float | None = None,
          batch: float | None = None) -> Answer:
    """Is a claim possible, and if not, what would make it so?

    Args:
        claim: in words, such as "100k tok/s prefill of Llama-3-70B on 8xH100 in bf16".
        model: what the text leaves out; wins over the text.
        machine: what the text leaves out; wins over the text.
        weights: number format of the weights.
        prompt: tokens of a prompt.
        context: tokens of a sequence.
        batch: sequences in a step.

    Raises:
        BadInput: the claim cannot be read, or leaves out what it needs.
    """
    from ridgeline.questions.check import check as answer

    numbers = {"prompt": prompt, "context": context, "batch": batch}
    return answer(claim, model=model, machine=machine, weights=weights,
                  **{k: v for k, v in numbers.items() if v is not None})


def exercise(name: str | None = None, *, given: Sequence[str] = (), machine: str | None = None,
             answer: float | None = None, part: str | None = None) -> Answer:
    """A roofline exercise worked step by step, an answer to it graded, or the list of all.

    Args:
        name: its id, such as 3a; left out, all are listed.
        given: numbers of your own by letter, such as D=8192.
        machine: chip whose peak and bandwidth to take.
        answer: a value to grade, in SI.
        part: which part it answers; left out, the main one.

    Raises:
        BadInput: an unknown exercise, part, letter or chip, or a number that is not positive.
    """
    from ridgeline.errors import BadInput
    from ridgeline.quantity import parse_number
    from ridgeline.questions.exercise import exercise as work
    from ridgeline.questions.exercise import list_exercises

    if name is None:
        return list_exercises()
    if any("=" not in text for text in given):
        raise BadInput("given takes LETTER=NUMBER, such as D=8192")
    numbers = {text.split("=")[0].strip(): parse_number(text.split("=", 1)[1]) for text in given}
    return work(name, given=numbers, chip=machine, answer=answer, part=part)
