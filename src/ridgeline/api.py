"""The Python surface: one function a question, with the names the command line uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ridgeline.scenario import Scenario

if TYPE_CHECKING:
    from ridgeline.questions.answer import Answer

__all__ = ["capacity", "estimate", "fit", "retrieve", "roofline", "roofline_matmul", "simulate",
           "think"]


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


def _scenario(model: str, on: str, fields: dict[str, Any]) -> Scenario:
    return Scenario.from_fields({"model": model, "machine": on, **fields})
