"""The Python surface: one function a question, with the names the command line uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ridgeline.api_economics import cache, demand, energy, fleet, infer_price, price, rack
from ridgeline.api_search import plan, sweep
from ridgeline.api_training import scale, train
from ridgeline.errors import BadInput
from ridgeline.measure.ask import measure_engine, measure_machine
from ridgeline.scenario import Scenario

if TYPE_CHECKING:
    from ridgeline.questions.answer import Answer
    from ridgeline.report.figure import Figure

__all__ = ["ask", "cache", "capacity", "check", "demand", "draw", "energy", "estimate", "exercise",
           "fit", "fleet", "infer_price", "measure_engine", "measure_machine", "plan", "price",
           "queue", "rack", "retrieve", "roofline",
           "roofline_matmul", "scale", "simulate", "sweep", "think", "train"]


def estimate(model: str, on: str, *, ideal: bool = False, **fields: Any) -> Answer:
    """Latency and throughput of a model on a machine.

    Args:
        model: bundled name, or path of a config.json, folder, GGUF or safetensors file.
        on: machine, such as "8xH100-SXM".
        ideal: the textbook roofline instead of calibrated times.
        **fields: any other field of a scenario: `tp=8, prompt=4000, output=1000,
            concurrency=32, weights="fp8", engine="sglang"`.

    Returns:
        an Answer; `answer["ttft_s"]` is a Quantity in seconds, `answer.to_dict()` the JSON form.

    Raises:
        BadInput: an unknown name, a value out of range, a broken rule.
        Infeasible: the model does not fit (unless `ideal`).

    >>> answer = estimate("Llama-3.1-70B", "8xH100-SXM", prompt=8192, output=1, concurrency=64,
    ...                   ideal=True)
    >>> round(answer.value("tpot_s") * 1e3, 1)
    11.7
    """
    from ridgeline.questions.estimate import estimate as ask

    return ask(_scenario(model, on, fields), ideal=ideal)


def fit(model: str, on: str, *, training: bool = False, **fields: Any) -> Answer:
    """Memory of a model on a machine, item by item.

    Args:
        model, on, fields: as in `estimate`.
        training: memory of training instead of serving.

    Returns:
        an Answer with `fits`, bytes per device by item, capacity and levers.

    Raises:
        BadInput: an unknown name, a value out of range, a broken rule.

    >>> fit("Llama-3.1-8B", "RTX-4090")["fits"]
    True
    """
    if training:
        from ridgeline.questions.fit_training import fit_training as ask
    else:
        from ridgeline.questions.fit import fit as ask
    return ask(_scenario(model, on, fields))


def roofline(model: str, on: str, *, ideal: bool = False, **fields: Any) -> Answer:
    """Every op of a prompt and of a decode step against the machine's roofs.

    Args:
        model, on, fields: as in `estimate`.
        ideal: least times only.

    Returns:
        an Answer with step bounds and tables of ops.

    Raises:
        BadInput: an unknown name, a value out of range, a broken rule.
    """
    from ridgeline.questions.roofline import roofline as ask

    return ask(_scenario(model, on, fields), ideal=ideal)


def roofline_matmul(on: str, *, d_in: int, d_out: int, **options: Any) -> Answer:
    """Critical batch, times and bounds of one matrix product on a chip.

    Args:
        on: chip, such as "TPU-v5e".
        d_in, d_out: D and F of X[B,D] Y[D,F] [1].
        **options: `batch_size, formats=("bf16", "int8", "bf16"), compute, groups, per_example,
            sharded` (see `questions.roofline_matmul`).

    Raises:
        BadInput: an unknown name or a size that is not positive.

    >>> answer = roofline_matmul("TPU-v5e", d_in=4096, d_out=4096,
    ...                          formats=("bf16", "int8", "bf16"))
    >>> round(answer.value("critical_batch_exact"), 2)
    136.09
    """
    from ridgeline.machine.parse import parse_machine
    from ridgeline.questions.roofline_matmul import roofline_matmul as ask

    return ask(chip=parse_machine(on).chip, d_in=d_in, d_out=d_out, **options)


def simulate(model: str, on: str, **fields: Any) -> Answer:
    """What users wait: requests served one by one through the engine's scheduler.

    Args:
        model, on: as in `estimate`.
        **fields: any field of a scenario, and of a load (see `questions.simulate.Asked`):
            `rate=5.0, trace="azure-conv", concurrency=64, requests=640, replicas=2,
            router="least-loaded", scheduler="sglang", ttft=0.5, tpot=0.05, seeds=10`.

    Returns:
        an Answer with mean and percentiles of TTFT, TPOT, inter-token gap, latency and queue
        wait, throughput, goodput, utilisation, preemptions, cost and energy.

    Raises:
        BadInput: an unknown name, a load that cannot be, a malformed trace.
        Infeasible: the model, or no request, fits.

    >>> answer = simulate("Llama-3.1-8B", "H100-SXM", rate=2.0, requests=50)
    >>> answer.value("requests"), answer.value("ttft_p50_s") > 0
    (50.0, True)
    """
    from ridgeline.questions.simulate import simulate as ask

    return ask(*_loaded(model, on, fields))


def capacity(model: str, on: str, *, find: str | None = None, percentile: float = 95.0,
             precision: float = 0.01, **fields: Any) -> Answer:
    """The highest rate, or the fewest replicas, that keeps TTFT and TPOT targets.

    Args:
        model, on, fields: as in `simulate`; `ttft=` and `tpot=` [s] are the targets.
        find: "rate" or "replicas" (needs a rate or a trace).
        percentile: of requests that keep each target, 0 to 100.
        precision: relative precision of a rate.

    Returns:
        an Answer with `rate_per_s`, `replicas`, what breaks beyond, and table "load_curve".

    Raises:
        BadInput: no target, an unknown name, a load that cannot be.
        Infeasible: the model does not fit, or no load keeps the targets.

    >>> answer = capacity("Llama-3.1-8B", "H100-SXM", tpot=0.03, requests=300, precision=0.1)
    >>> answer.value("tpot_s") <= 0.03
    True
    """
    from ridgeline.questions.capacity import capacity as ask

    scenario, asked = _loaded(model, on, fields)
    return ask(scenario, asked, find=find, percentile=percentile, precision=precision)


def _loaded(model: str, on: str, fields: dict[str, Any]) -> tuple[Scenario, Any]:
    """A scenario and the load asked for, from one set of keywords."""
    import dataclasses

    from ridgeline.questions.simulate_asked import Asked

    names = {f.name for f in dataclasses.fields(Asked)}
    asked = Asked(**{k: v for k, v in fields.items() if k in names})
    return _scenario(model, on, {k: v for k, v in fields.items() if k not in names}), asked


def check(claim: str | None = None, *, model: str | None = None, on: str | None = None,
          measured: dict[str, float] | None = None, table: str | None = None,
          metrics: str | None = None, **fields: Any) -> Answer:
    """Is a number possible? A claim, a table of claims, a measurement, or a server's metrics.

    Args:
        claim: in words, such as "100k tok/s prefill of Llama-3-70B on 8xH100 in bf16".
        model, on: what the claim leaves out, or what was measured.
        measured: `{"tpot": 0.04, "ttft": 0.9, "output_rate": 900.0, "prompt_rate": 5e4}` in SI.
        table: CSV file of claims; "audited" for those that come with the package.
        metrics: address or file of a vLLM server's Prometheus metrics.
        **fields: of a scenario, as in `estimate`; for a claim `weights, prompt, context, batch`.

    Returns:
        an Answer with `verdict` and what it rests on (see `questions.check`, `check_table`,
        `diagnose` and `server`).

    Raises:
        BadInput: what was given cannot be read or checked, or several things at once.

    >>> check("100k tok/s prefill of Llama-3-70B on 8xH100 in bf16")["verdict"]
    'impossible'
    """
    given = [what for what in (claim, measured, table, metrics) if what is not None]
    if len(given) != 1:
        raise BadInput("check takes one of claim, measured, table and metrics, "
                       f"not {len(given)} of them")
    if claim is not None:
        from ridgeline.questions.check import check as ask

        return ask(claim, model=model, machine=on, **fields)
    if table is not None:
        from ridgeline.questions.check_table import check_audited, check_file

        return check_audited() if table == "audited" else check_file(table)
    if metrics is not None:
        from ridgeline.questions.prometheus import fetch, snapshot
        from ridgeline.questions.server import check_server

        asked = {**fields, "model": model, "machine": on}
        return check_server(snapshot(fetch(metrics)),
                            fields={k: v for k, v in asked.items() if v is not None})
    from ridgeline.questions.diagnose import Measured, diagnose

    return diagnose(_scenario(model or "", on or "", fields), Measured.of(measured or {}))


def exercise(name: str | None = None, *, answer: float | None = None, part: str | None = None,
             on: str | None = None, **given: float) -> Answer:
    """A roofline exercise worked step by step, or an answer to it graded.

    Args:
        name: its id, such as "3a"; None lists them all.
        answer: a value to grade, in SI.
        part: which part it answers.
        on: chip whose peak and bandwidth to take.
        **given: numbers of your own by letter, such as `D=8192`.

    Raises:
        BadInput: an unknown exercise, part or letter, or a number that is not positive.

    >>> exercise("3a", answer=131)["verdict"], round(exercise("3a").value("batch"), 2)
    ('wrong', 261.27)
    """
    from ridgeline.questions.exercise import exercise as ask
    from ridgeline.questions.exercise import list_exercises

    if name is None:
        return list_exercises()
    return ask(name, given=given, chip=on, answer=answer, part=part)


def retrieve(docs: float | str, *, on: str | None = None, **fields: Any) -> Answer:
    """Retrieval around a model: index, search, encoders, and the whole request.

    Args:
        docs: vectors stored, such as 1e7 or "10M".
        on: the model's machine, when a model reads the passages.
        **fields: any other field of `questions.retrieve.RetrieveAsk`: `dim=768, index="ivf",
            nprobe=32, queries="50/s", embedder="bge-large", reranker="bge-reranker-v2-m3",
            model="Llama-3.1-70B"`.

    Returns:
        an Answer with `index_bytes`, `search_s`, `searches_per_s`, `recall_at_10`, `total_s`.

    Raises:
        BadInput: impossible sizes, settings, rates or names.
        Infeasible: an index or a model that does not fit.

    >>> retrieve("10M", dim=768, index="flat").value("index_bytes") / 1e9
    30.72
    """
    from ridgeline.questions.retrieve import RetrieveAsk
    from ridgeline.questions.retrieve import retrieve as ask

    return ask(RetrieveAsk.from_fields({"docs": docs, "machine": on, **fields}))


def think(model: str | None = None, on: str | None = None, **fields: Any) -> Answer:
    """Whether thinking longer pays: FLOP, latency, memory, dollars and coverage.

    Args:
        model, on: what thinks, on what; left out with `results` or `routes` alone.
        **fields: any other field of `questions.think.ThinkAsk`: `strategy="best-of-n",
            samples=16, tokens=2000, success_rate=0.2, against="Llama-3.1-70B",
            results="samples.jsonl", routes="0.8:1,0.2:16"`.

    Returns:
        an Answer with `flop`, `latency_s`, `kv_bytes`, `usd`, `coverage`, or `pass_at_1`, ...

    Raises:
        BadInput: impossible numbers, names, files or combinations.
        Infeasible: a model or its chains do not fit.

    >>> think(routes="0.8:1,0.2:16").value("mean_cost")
    4.0
    """
    from ridgeline.questions.think import ThinkAsk
    from ridgeline.questions.think import think as ask

    return ask(ThinkAsk.from_fields({"model": model, "machine": on, **fields}))


def queue(rate: float, service: float, **fields: Any) -> Answer:
    """Mean wait of a queue in closed form: M/M/c, M/D/1, M/G/1, bulk service.

    Args:
        rate: arrivals per second.
        service: mean service of a request, or of a batch [s].
        **fields: `servers=2, service_cv=0.0, batch=64, train=True`.

    Raises:
        BadInput: an unknown field or a number that makes no sense.
        Infeasible: the queue grows for ever.

    >>> round(queue(0.9, 1.0, service_cv=0.0).value("wait_s"), 6)
    4.5
    """
    from ridgeline.questions.asks import only
    from ridgeline.questions.queue import QueueAsk
    from ridgeline.questions.queue import queue as ask

    return ask(QueueAsk(rate, service, **only(QueueAsk, fields)))


def _scenario(model: str, on: str, fields: dict[str, Any]) -> Scenario:
    return Scenario.from_fields({"model": model, "machine": on, **fields})


def ask(question: str, **fields: Any) -> Answer:
    """Any question by name, with the fields of the web and of agents' tools.

    Args:
        question: "train", "plan", "price", ... (`ridgeline.questions.registry.QUESTIONS`).
        **fields: the scenario's and the question's own, flat; numbers may be texts such as "2T".

    Raises:
        BadInput: an unknown question or field, or a wrong value.
        Infeasible: what is asked cannot be done.

    >>> ask("fit", model="Llama-3.1-8B", machine="RTX-4090", context="8k")["fits"]
    True
    """
    from ridgeline.questions.registry import ask as answer

    return answer(question, fields)


def draw(question: str, **fields: Any) -> list[Figure]:
    """The figures of a question; a notebook shows them, `report.plot.write_figure` saves them.

    Args:
        question, fields: as in `ask`.

    Raises:
        BadInput, Infeasible: as `ask`.

    >>> [figure.title for figure in draw("scale", compute="5.76e23")]
    ['IsoFLOP curves']
    """
    from ridgeline.questions.registry import get_question

    found = get_question(question)
    given = found.arguments(fields)
    return found.drawn(found.answer(given), given)
