"""Fits the engine layer: costs beside the kernels, first-token behaviour, learned corrections.

Each measured deployment is replayed once with its time split into components (kernels by kind,
steps, layers, sequences, prompt tokens). Costs are then a robust non-linear least-squares problem
on log times, an engine at a time; the correction by kind is a ridge regression on what is left.
Errors and interval widths come from deployments, models and chips held out as whole groups.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.errors import RidgelineError
from ridgeline.measure.fit.engine_parts import Costs, Ridge, fit_costs, fit_first_token
from ridgeline.measure.truth.serving_pools import protocol_of, run_of
from ridgeline.model.load import load_architecture
from ridgeline.serving.latency import (
    bundled,
    case_of,
    component_table,
    first_steps,
    raw_latency,
)
from ridgeline.serving.measured_run import Protocol
from ridgeline.timing.adjust import BOUND, COARSE, LEVELS, ServingCase
from ridgeline.timing.engine import CAPTURED
from ridgeline.timing.kernels.result import LEVELS as QUANTILES

__all__ = ["fit_engines"]

Array = np.ndarray[Any, np.dtype[np.float64]]
# Engines without rows here take the pooled costs.
UNMEASURED = ("llamacpp", "transformers")
# Rows from which an engine's own costs are fitted.
_ENOUGH = 60


@dataclass(frozen=True)
class Runs:
    """Measured deployments as arrays, one row each.

    Attributes:
        tpot, wait: replayed times by component, shape (n, components).
        real_tpot, real_ttft: measured [s].
        cases: kind and size of each.
        protocols: how each was loaded and answered.
        captured: whether its prompts ran in captured graphs.
    """

    tpot: Array
    wait: Array
    real_tpot: Array
    real_ttft: Array
    cases: tuple[ServingCase, ...]
    protocols: tuple[Protocol, ...]
    captured: Array

    @property
    def bundled(self) -> Array:
        """Time per token that clients see over that of a decode step, of each row."""
        return np.array([bundled(p, c.output)
                         for p, c in zip(self.protocols, self.cases, strict=True)])

    @property
    def steps(self) -> Array:
        """Decode steps that each row's first tokens wait for beside their prompts."""
        return np.array([first_steps(p) for p in self.protocols])

    @property
    def layers(self) -> Array:
        """Layers of each row's model, and those of them with routed experts, shape (n, 2); as the
        share that is launched where prompts run in captured graphs."""
        models = {case.model: load_architecture(case.model) for case in self.cases}
        counts = {name: (one.n_layers, sum(count for _, count in one.mixtures))
                  for name, one in models.items()}
        share = np.where(self.captured, CAPTURED, 1.0)
        return np.array([counts[case.model] for case in self.cases], float) * share[:, None]

    def keys(self, *names: str) -> Array:
        """Text key of each row from attributes of its case."""
        return np.array(["|".join(str(getattr(c, n)) for n in names) for c in self.cases])


def fit_engines(rows: Mapping[str, Any], say: Callable[[str], None] = lambda _: None
                ) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fit from the columns of a serving-latency table.

    Args:
        rows: columns as arrays.
        say: told what is being done.

    Returns:
        (content of engines.json, report of held-out errors).
    """
    runs = read_runs(rows, say)
    say("engine costs and corrections")
    model = _Fitted.of(runs, np.ones(len(runs.cases), bool))
    held = {name: _held_out(runs, groups) for name, groups in _folds(runs).items()}
    content = {"family": "engines", **model.content(),
               "models": sorted({c.model for c in runs.cases}),
               "pairs": sorted({c.pair for c in runs.cases}), "spreads": _spreads(runs, held)}
    return content, _report(runs, held)


def read_runs(rows: Mapping[str, Any], say: Callable[[str], None]) -> Runs:
    """Replay every row that can be read, split into components."""
    count = len(rows["id"])
    found: list[tuple[Array, Array, float, float, ServingCase, Protocol, bool]] = []
    tables: dict[int, Any] = {}
    for i in range(count):
        row = {name: column[i] for name, column in rows.items()}
        if i % 200 == 0:
            say(f"replaying measured deployments {i} of {count}")
        try:
            run, pools = run_of(row)
            pair = tuple(_table(tables, replica) for replica in (pools.decode, pools.prefill))
            protocol = protocol_of(run)
            tpot, wait, _, _ = raw_latency(
                pools, (pair[0], pair[1]), protocol, concurrency=run.concurrency,
                prompt=run.prompt, output=run.output)
        except RidgelineError:
            continue
        case = case_of(pools, protocol=run.protocol, concurrency=run.concurrency,
                       prompt=run.prompt, output=run.output,
                       speculation=run.recipe.speculation)
        found.append((np.asarray(tpot), np.asarray(wait), float(row["silicon_tpot_ms"]) / 1e3,
                      float(row["silicon_ttft_ms"]) / 1e3, case, protocol,
                      pools.prefill.captures(run.prompt, protocol.graphs)))
    keep = [f for f in found if f[2] > 0 and f[3] > 0]
    return Runs(np.array([f[0] for f in keep]), np.array([f[1] for f in keep]),
                np.array([f[2] for f in keep]), np.array([f[3] for f in keep]),
                tuple(f[4] for f in keep), tuple(f[5] for f in keep),
                np.array([f[6] for f in keep]))


def _table(tables: dict[int, Any], replica: Any) -> Any:
    # Replicas are cached by the reader, so their identity is their deployment's.
    if id(replica) not in tables:
        tables[id(replica)] = component_table(replica)
    return tables[id(replica)]


@dataclass(frozen=True)
class _Fitted:
    """Everything learned from some rows."""

    costs: dict[str, Costs]
    tpot: Ridge
    ttft: Ridge
    tpot_new: Ridge
    pairs: frozenset[str]

    @classmethod
    def of(cls, runs: Runs, use: Array) -> _Fitted:
        engines, weights = runs.keys("engine"), _weights(runs)
        plain = use & (runs.keys("speculation") == "") & (runs.keys("mode") == "agg")
        step = runs.real_tpot / runs.bundled
        pooled = fit_costs(runs.tpot[plain], step[plain], weights[plain])
        costs = {}
        for engine in sorted({*engines, *UNMEASURED}):
            own = plain & (engines == engine)
            costs[engine] = (fit_costs(runs.tpot[own], step[own], weights[own], pooled)
                             if own.sum() >= _ENOUGH else pooled)
        base = _base(runs, costs)
        keys, numbers = _keys(runs), _numbers(runs)
        fine = {level: hold for level, (_, hold) in LEVELS.items()}
        ridge = Ridge.fit(keys, numbers, np.log(step / base), weights, use, fine)
        coarse = Ridge.fit(keys, numbers, np.log(step / base), weights, use, COARSE, flat=True)
        decode = base * np.exp(_bounded(ridge.predict(keys, numbers)))
        wait, steps, layers = _wait(runs, costs), runs.steps, runs.layers
        one = use & (runs.keys("mode") == "agg")
        usual = fit_first_token(pooled, wait[one], decode[one], steps[one], layers[one],
                                runs.real_ttft[one], weights[one])
        for engine in sorted(costs):
            own = one & (engines == engine)
            costs[engine] = (fit_first_token(costs[engine], wait[own], decode[own], steps[own],
                                             layers[own], runs.real_ttft[own], weights[own], usual)
                             if own.sum() >= _ENOUGH
                             else dataclasses.replace(costs[engine], first=usual.first))
        first = _first(runs, costs, wait, decode)
        ttft = Ridge.fit(keys, numbers, np.log(runs.real_ttft / first), weights, use, fine)
        return cls(costs, ridge, ttft, coarse,
                   frozenset(c.pair for c, u in zip(runs.cases, use, strict=True) if u))

    def predict(self, runs: Runs) -> tuple[Array, Array]:
        """(tpot, ttft) of every row."""
        keys, numbers = _keys(runs), _numbers(runs)
        seen = np.array([c.pair in self.pairs for c in runs.cases])
        shift = np.where(seen, self.tpot.predict(keys, numbers),
                         self.tpot_new.predict(keys, numbers))
        decode = _base(runs, self.costs) * np.exp(_bounded(shift))
        first = _first(runs, self.costs, _wait(runs, self.costs), decode)
        decode = decode * runs.bundled
        shift = np.where(seen, _bounded(self.ttft.predict(keys, numbers)), 0.0)
        return decode, first * np.exp(shift)

    def content(self) -> dict[str, Any]:
        """What engines.json keeps of it."""
        engines = {name: costs.to_json() for name, costs in self.costs.items()}
        return {"engines": engines, "tpot": self.tpot.to_json(), "ttft": self.ttft.to_json(),
                "tpot_new": self.tpot_new.to_json(), "ttft_new": {}}


def _keys(runs: Runs) -> dict[str, Array]:
    return {level: np.array([c.key(level) for c in runs.cases]) for level in LEVELS}


def _numbers(runs: Runs) -> Array:
    return np.array([c.numbers() for c in runs.cases])


def _bounded(shift: Array) -> Array:
    bounded: Array = BOUND * np.tanh(shift / BOUND)
    return bounded


def _base(runs: Runs, costs: Mapping[str, Costs]) -> Array:
    return np.array([costs[c.engine].seconds(t) for c, t in zip(runs.cases, runs.tpot,
                                                                 strict=True)])


def _wait(runs: Runs, costs: Mapping[str, Costs]) -> Array:
    return np.array([costs[c.engine].seconds(t) for c, t in zip(runs.cases, runs.wait,
                                                                 strict=True)])


def _first(runs: Runs, costs: Mapping[str, Costs], wait: Array, decode: Array) -> Array:
    return np.array([float(costs[c.engine].first_token(w, d, s, n)) for c, w, d, s, n
                     in zip(runs.cases, wait, decode, runs.steps, runs.layers, strict=True)])


def _weights(runs: Runs) -> Array:
    """Large groups of like rows count less a row, so that none rules."""
    groups = runs.keys("engine", "model", "chip")
    sizes = dict(zip(*np.unique(groups, return_counts=True), strict=True))
    return np.array([min(1.0, (20 / sizes[g]) ** 0.5) for g in groups])


def _folds(runs: Runs) -> dict[str, Array]:
    """Groups held out whole: deployments (in fifths), models, chips."""
    models = _shapes(runs)
    rest = runs.keys("engine", "chip", "weights", "layout", "chips", "mode")
    fifth = np.array([str(zlib.crc32(f"{model}|{other}".encode()) % 5)
                      for model, other in zip(models, rest, strict=True)])
    return {"seen": fifth, "new_model": models, "new_chip": runs.keys("chip")}


def _shapes(runs: Runs) -> Array:
    """One name for models of one shape: DeepSeek-R1 is DeepSeek-V3 to a server, and tables hold
    the same runs under both names, so they are held out together."""
    names: dict[Any, str] = {}
    shape = {model: names.setdefault(dataclasses.replace(load_architecture(model), name=""), model)
             for model in sorted({c.model for c in runs.cases})}
    return np.array([shape[c.model] for c in runs.cases])


def _held_out(runs: Runs, groups: Array) -> tuple[Array, Array]:
    """(tpot, ttft) of every row, predicted without its group."""
    tpot, ttft = np.zeros(len(groups)), np.zeros(len(groups))
    for group in np.unique(groups):
        out = groups == group
        decode, first = _Fitted.of(runs, ~out).predict(runs)
        tpot[out], ttft[out] = decode[out], first[out]
    return tpot, ttft


def _spreads(runs: Runs, held: Mapping[str, tuple[Array, Array]]) -> dict[str, Any]:
    """Quantiles of log(real / predicted) by what was held out, and by protocol."""
    protocols = runs.keys("protocol")
    out: dict[str, Any] = {"tpot": {}, "ttft": {}}
    for name, (tpot, ttft) in held.items():
        for metric, real, predicted in (("tpot", runs.real_tpot, tpot),
                                        ("ttft", runs.real_ttft, ttft)):
            logs = np.log(real / predicted)
            out[metric][name] = _quantiles(logs[protocols == "inferencex"])
            for protocol in np.unique(protocols):
                out[metric][f"{name}|{protocol}"] = _quantiles(logs[protocols == protocol])
    return out


def _quantiles(logs: Array) -> list[float]:
    return [round(float(q), 4) for q in np.quantile(logs, QUANTILES)] if len(logs) else [0.0] * 4


def _report(runs: Runs, held: Mapping[str, tuple[Array, Array]]) -> dict[str, Any]:
    """Held-out errors by protocol."""
    protocols = runs.keys("protocol")
    out: dict[str, Any] = {}
    for name, pair in held.items():
        for metric, real, predicted in zip(("tpot", "ttft"), (runs.real_tpot, runs.real_ttft),
                                           pair, strict=True):
            for protocol in np.unique(protocols):
                use = protocols == protocol
                error = np.abs(predicted[use] / real[use] - 1) * 100
                out[f"{metric} {protocol} {name}"] = {
                    "n": int(use.sum()), "median_ape_pct": round(float(np.median(error)), 2),
                    "p90_ape_pct": round(float(np.quantile(error, 0.9)), 2),
                    "bias_pct": round(float(np.expm1(np.median(np.log(
                        predicted[use] / real[use]))) * 100), 2)}
    return out

