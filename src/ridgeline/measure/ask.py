"""Measuring from Python: `ridgeline.measure_machine` and `ridgeline.measure_engine`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ridgeline.questions.answer import Answer

__all__ = ["measure_engine", "measure_machine"]


def measure_machine(*, device: str = "cpu", threads: int | None = None, quick: bool = False,
                    kernels: bool = True, beside: str = "", out: str = "") -> Answer:
    """Memory bandwidth, matmul rates and launch cost of the machine this runs on.

    Args:
        device: "cpu", or "cuda" with PyTorch.
        threads: of the processor at most; None: every core.
        quick: fewer sizes, less time.
        kernels: those of llama.cpp and PyTorch too, where installed.
        beside: chip of the catalog to compare with.
        out: file of the chip entry to write, such as "my-machine.toml".

    Raises:
        BadInput: a device or thread count that is not there, an unknown chip, a bad file name.
    """
    from ridgeline.catalog import load_chip
    from ridgeline.measure.machine.answer import machine_answer
    from ridgeline.measure.machine.chip_file import write_chip
    from ridgeline.measure.machine.here import measure_here

    chip = load_chip(beside) if beside else None
    found = measure_here(device, threads, quick=quick, kernels=kernels)
    if out:
        write_chip(found, out)
    return machine_answer(found, chip)


def measure_engine(url: str, *, model: str = "", protocol: str = "closed:1",
                   requests: int | None = None, prompt: int = 512, output: int = 128,
                   warmup: int = 1, seed: int = 0, **endpoint: Any) -> Answer:
    """Put load on an OpenAI-compatible server and measure what users get.

    Args:
        url: of the server.
        model: the name it knows its model by.
        protocol: "closed:64", "rate:5" or "trace:FILE".
        requests: how many; None: four waves, half a minute, or the trace.
        prompt, output: tokens of a request.
        warmup: requests sent before and not counted.
        seed: of lengths, arrivals and prompts.
        **endpoint: further fields of `measure.engine.client.Endpoint`: `chat=True, key="..."`.

    Raises:
        BadInput: an address or protocol that is none.
        RidgelineError: no answer at all.
        MissingExtra: aiohttp is not installed.
    """
    from ridgeline.measure.engine.client import Endpoint
    from ridgeline.measure.engine.load import run_load
    from ridgeline.measure.engine.protocol import parse_protocol, planned_requests
    from ridgeline.measure.engine.result import engine_answer

    how = parse_protocol(protocol)
    plan = planned_requests(how, requests=requests, prompt=prompt, output=output, seed=seed)
    outcome = run_load(Endpoint(url, model, seed=seed, **endpoint), how, plan, warmup=warmup)
    return engine_answer(outcome, {"url": url, "model": model, "protocol": protocol})
