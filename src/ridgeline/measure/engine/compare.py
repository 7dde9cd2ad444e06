"""Predicted beside measured: the same requests through the simulator, or an engine's own rates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ridgeline.quantity import Quantity
from ridgeline.questions.answer import Table
from ridgeline.questions.performance import SINGLE_STREAM

if TYPE_CHECKING:
    from ridgeline.measure.engine.protocol import Protocol
    from ridgeline.scenario import Scenario
    from ridgeline.serving.requests import Requests

__all__ = ["Predicted", "predict_run", "predicted_table"]

Predicted = dict[str, Quantity]
_SHOWN = (*(f"{name}_{part}" for name in ("ttft", "tpot", "latency")
            for part in ("mean", "p50", "p99")), "output_tokens_per_s")


def predict_run(scenario: Scenario, protocol: Protocol, requests: Requests) -> Predicted:
    """What the deployment should have done with exactly these requests.

    Args:
        scenario: model, machine and deployment.
        protocol: how they were sent.
        requests: their lengths and times.

    Returns:
        quantities in seconds and token/s; the interval is the engine layer's.

    Raises:
        BadInput: an unknown name or broken rule.
        Infeasible: the deployment does not fit.
    """
    mean_prompt, mean_output = float(requests.prompt.mean()), float(requests.output.mean())
    scenario = scenario.replace(prompt=max(1, round(mean_prompt)),
                                output=max(1, round(mean_output)),
                                concurrency=protocol.concurrency or 1)
    if scenario.deployment.engine in SINGLE_STREAM and protocol.kind == "closed":
        return _by_rates(scenario)
    return _by_simulation(scenario, protocol, requests)


def _by_rates(scenario: Scenario) -> Predicted:
    """Engines with rates of their own: means of a closed loop."""
    from ridgeline.questions.estimate import estimate

    answer = estimate(scenario)
    names = {"ttft_mean": "ttft_s", "tpot_mean": "tpot_s", "latency_mean": "e2e_s",
             "output_tokens_per_s": "output_tokens_per_s"}
    found = {ours: answer[theirs] for ours, theirs in names.items()}
    return {name: value for name, value in found.items() if isinstance(value, Quantity)}


def _by_simulation(scenario: Scenario, protocol: Protocol, requests: Requests) -> Predicted:
    from ridgeline.questions.simulation import Asked, numbers_of, prepare, run_requests

    asked = Asked(rate=None if protocol.kind == "closed" else protocol.rate or 1.0,
                  requests=len(requests))
    setup = prepare(scenario, asked)
    setup = dataclasses.replace(setup, requests=requests)
    runs = {end: numbers_of(setup, asked, run_requests(setup, asked, asked.seed, end))
            for end in (None, 0, 1)}
    found = {}
    for name in _SHOWN:
        ends = [run[name] for run in runs.values()]
        unit = "token/s" if name.endswith("per_s") else "s"
        found[name] = Quantity(runs[None][name], min(ends), max(ends), unit, "calibrated")
    return found


def predicted_table(predicted: Predicted, measured: Mapping[str, float]) -> Table:
    """Both side by side: error is predicted over measured, less one."""
    rows = []
    for name, value in predicted.items():
        found = measured[name]
        if found == found and found > 0:
            rows.append((name.replace("_", " "), value,
                         Quantity.exact(found, value.unit, "measured"),
                         100 * (value.value / found - 1), value.low <= found <= value.high))
    return Table.of("predicted", {"metric": "1", "predicted": "1", "measured": "1", "error": "%",
                                  "inside_80_pct": "1"}, rows, title="Predicted beside measured")
