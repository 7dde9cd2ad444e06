"""A measurement in, a diagnosis out: utilisation, where it lies, likely causes, what to try."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ridgeline.errors import BadInput, RidgelineError, UnknownName
from ridgeline.quantity import Quantity, format_si
from ridgeline.questions.answer import Answer, Table, Value
from ridgeline.questions.levers import levers
from ridgeline.questions.performance import Performance, Spread, calibrated_performance
from ridgeline.questions.resolve import Resolved, resolve
from ridgeline.scenario import Scenario

__all__ = ["Measured", "diagnose", "percentile", "utilisations"]

# A cause is worth a line when it explains at least this share of the gap (in logarithms).
_EXPLAINS = 0.25
# Differences below this are no gap at all.
_GAP = 1.05


@dataclass(frozen=True)
class Measured:
    """What was measured, in SI; None where it was not.

    Attributes:
        ttft, tpot: mean time to first token and per output token [s].
        output_rate: output tokens a second of the whole machine.
        prompt_rate: prompt tokens a second of the whole machine, while it only reads prompts.
    """

    ttft: float | None = None
    tpot: float | None = None
    output_rate: float | None = None
    prompt_rate: float | None = None

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Measured:
        """Read {name: value}.

        Raises:
            BadInput: an unknown measure.
        """
        for name in values:
            if name not in cls.__dataclass_fields__:
                raise UnknownName.among("measure", name, cls.__dataclass_fields__, "There are: "
                                        + ", ".join(cls.__dataclass_fields__))
        return cls(**values)

    def __post_init__(self) -> None:
        given = {k: v for k, v in vars(self).items() if v is not None}
        if not given:
            raise BadInput("nothing was measured; give --ttft, --tpot, --output-rate or "
                           "--prompt-rate")
        for name, value in given.items():
            if not (math.isfinite(value) and value > 0):
                raise BadInput(f"the measured {name} is {value}; it must be positive and finite")


def diagnose(scenario: Scenario, measured: Measured, *,
             progress: Callable[[Iterable[Any]], Iterable[Any]] | None = None) -> Answer:
    """Compare a measurement with what the machine can do and what it is expected to do.

    Args:
        scenario: model, machine, deployment and workload that were measured.
        measured: the numbers.
        progress: wraps the hypotheses tried, to show a bar.

    Returns:
        an Answer with `verdict`, MFU and MBU of the phases measured, `ratio_to_expected` and
        `percentile` of each measure; tables "measures", "causes" (ranked: the scenario with one
        thing changed, and how much of the gap that explains) and "levers".

    Raises:
        BadInput: an unknown name, a broken rule, or nothing measured.
    """
    resolved = resolve(scenario)
    expected = calibrated_performance(resolved)
    lines = [_line(name, value, resolved, expected) for name, value in _times(measured)]
    worst = max(lines, key=lambda line: (abs(line.percentile - 50), abs(math.log(line.ratio))))
    quantities: dict[str, Value] = {"bound": _verdict(lines, worst), "verdict": _word(lines, worst)}
    quantities |= utilisations(resolved, expected, ttft=_time_of(lines, "ttft"),
                               tpot=_time_of(lines, "tpot"))
    quantities |= {f"{line.name}_ratio_to_expected": Quantity.exact(line.ratio, "x")
                   for line in lines}
    tried = list(_hypotheses(resolved, worst.ratio))
    causes = _causes(resolved, lines, progress(tried) if progress else tried)
    table = Table.of("measures", {"measure": "1", "measured": "s", "expected": "s", "floor": "s",
                                  "percentile": "%"},
                     [(_LABELS[line.name], line.seconds,
                       Quantity(line.expected, line.low, line.high, "s",
                                "calibrated"),
                       line.floor, line.percentile) for line in lines],
                     title="Measured beside expected (80 % interval)")
    tables = (table, *((_cause_table(causes),) if causes else ()), levers(resolved))
    return Answer("check", resolved.scenario.to_dict(), quantities, tables,
                  notes=_notes(lines, worst, causes))


_LABELS = {"ttft": "time to first token", "tpot": "time per output token",
           "output_rate": "machine time of an output token",
           "prompt_rate": "machine time of a prompt token"}


@dataclass(frozen=True)
class _Line:
    """One measure beside what was expected of it; all times of one token or prompt [s]."""

    name: str
    seconds: float
    expected: float
    low: float
    high: float
    floor: float
    percentile: float

    @property
    def ratio(self) -> float:
        """Measured over expected time; above 1 is slower."""
        return self.seconds / self.expected


def _times(measured: Measured) -> Iterator[tuple[str, float]]:
    """Every measure by name, rates as they are."""
    yield from ((k, v) for k, v in vars(measured).items() if v is not None)


def _line(name: str, value: float, resolved: Resolved, p: Performance) -> _Line:
    """A measure as a time, beside the expected time with its interval and floor."""
    if name in ("tpot", "output_rate") and not p.tpot:
        raise BadInput(f"{resolved.architecture.name} generates nothing; measure ttft")
    spread: Spread = p.ttft_spread if name in ("ttft", "prompt_rate") else p.tpot_spread
    expected, floor, seconds = _expected(name, value, resolved, p)
    return _Line(name, seconds, expected, expected * math.exp(spread[1]),
                 expected * math.exp(spread[2]), floor,
                 percentile(math.log(seconds / expected), spread))


def _expected(name: str, value: float, resolved: Resolved, p: Performance
              ) -> tuple[float, float, float]:
    """(expected, floor, measured) seconds of a measure; rates become times of one token."""
    work, dp = resolved.scenario.workload, resolved.deployment.dp
    if name == "ttft":
        return p.ttft, p.ttft_floor, value
    if name == "tpot":
        return p.tpot, p.tpot_floor, value
    if name == "prompt_rate":
        new = max(1.0, work.prompt * (1 - work.prefix_hit))
        return p.prefill_s / new / dp, p.ttft_floor / new / dp, 1 / value
    least = p.tpot_floor / max(1.0, min(work.concurrency, p.batch * dp))
    return 1 / p.output_tokens_per_s, least, 1 / value


def percentile(log_ratio: float, spread: Spread) -> float:
    """Where log(measured / expected) lies among past errors, in per cent (2.5 to 97.5 resolved).

    >>> percentile(0.0, (-0.4, -0.2, 0.2, 0.4)), percentile(0.2, (-0.4, -0.2, 0.2, 0.4))
    (50.0, 90.0)
    """
    points = [(spread[0], 2.5), (spread[1], 10.0), (0.0, 50.0), (spread[2], 90.0),
              (spread[3], 97.5)]
    points.sort()
    if log_ratio <= points[0][0]:
        return points[0][1] if log_ratio == points[0][0] else 0.0
    for (left, low), (right, high) in itertools.pairwise(points):
        if log_ratio <= right:
            return low if right == left else low + (high - low) * (log_ratio - left) / (
                right - left)
    return 100.0


def utilisations(resolved: Resolved, p: Performance, *, ttft: float | None, tpot: float | None
                 ) -> dict[str, Value]:
    """MFU and MBU that measured times imply."""
    chips = resolved.deployment.chips_per_replica
    chip = resolved.cluster.chip
    peak = chips * chip.peak(resolved.formats.dense.compute)
    out: dict[str, Value] = {}
    if tpot:
        out["mfu_decode"] = Quantity.exact(p.decode_flop / (tpot * peak), "1", "measured")
        out["mbu_decode"] = Quantity.exact(
            p.decode_bytes / (tpot * chips * chip.memory_bandwidth), "1", "measured")
    if ttft:
        out["mfu_prefill_at_least"] = Quantity.exact(p.prefill_flop / (ttft * peak), "1",
                                                     "measured")
    return out


def _time_of(lines: list[_Line], name: str) -> float | None:
    return next((line.seconds for line in lines if line.name == name), None)


# --- causes --------------------------------------------------------------------------------------

def _hypotheses(resolved: Resolved, ratio: float) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(what may be so, changed fields, what to look at) for a run slower or faster than expected.

    Each is the scenario with one thing other than stated.
    """
    plan, work, formats = resolved.deployment, resolved.scenario.workload, resolved.formats
    if ratio > 1:
        if formats.dense.bytes < 1.9:
            yield ("weights really run in 16 bit", {"weights": "bf16"}, "the engine's log of its "
                   "weight format")
        if plan.tp % 2 == 0:
            yield (f"only {plan.tp // 2} chips work on a sequence",
                   {"tp": plan.tp // 2, "dp": plan.dp * 2}, "the tensor-parallel degree at launch")
        for factor in (2, 4):
            yield (f"{factor} times as many requests in flight",
                   {"concurrency": work.concurrency * factor}, "other clients of the server")
            yield (f"prompts {factor} times as long", {"prompt": work.prompt * factor,
                                                       "context": None}, "the lengths sent")
        if work.prefix_hit:
            yield "no prompt found in the cache", {"prefix_hit": 0.0}, "the prefix-cache hit rate"
        if plan.cuda_graphs:
            yield "steps launched without graphs", {"cuda_graphs": False}, "enforce_eager at launch"
        if plan.engine != "transformers":
            yield "an engine without fused kernels", {"engine": "transformers"}, "what is served"
        yield "a small token budget", {"max_num_batched_tokens": 512}, "max_num_batched_tokens"
        yield from _slower_chips(resolved)
        return
    for share in (0.5, 0.9):
        if work.prefix_hit < share:
            yield (f"{share:.0%} of the prompt is in the prefix cache", {"prefix_hit": share},
                   "whether the load repeats its prompts")
    if formats.dense.bytes > 1.01:
        yield "weights run in fp8", {"weights": "fp8"}, "the engine's log of its weight format"
    if formats.kv.bytes > 1.01:
        yield "the cache is kept in fp8", {"kv": "fp8"}, "kv_cache_dtype at launch"
    for factor in (2, 4):
        if work.concurrency >= factor:
            yield (f"requests in flight only 1/{factor}",
                   {"concurrency": work.concurrency // factor}, "whether the client keeps up")
        if work.prompt >= factor:
            yield (f"prompts 1/{factor} as long", {"prompt": work.prompt // factor,
                                                   "context": None}, "the lengths sent")


def _slower_chips(resolved: Resolved) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Variants of the chip with less bandwidth or rate, as sold under nearly the same name."""
    from ridgeline.catalog import list_names, load_chip

    chip = resolved.cluster.chip
    stem = chip.name.split("-")[0]
    for name in list_names("chips"):
        if name == chip.name or name.split("-")[0] != stem:
            continue
        other = load_chip(name)
        if other.memory_bandwidth < 0.95 * chip.memory_bandwidth and other.architecture == \
                chip.architecture:
            yield (f"the chips are {name}",
                   {"machine": f"{resolved.cluster.n_chips}x{name}"}, "the device's own name")


@dataclass(frozen=True)
class _Cause:
    """A hypothesis with the times it predicts and the share of the gaps it explains."""

    what: str
    predicted: str
    explains: float
    look_at: str


def _causes(resolved: Resolved, lines: list[_Line], tried: Iterable[Any]) -> list[_Cause]:
    """Hypotheses that move the expectation towards all that was measured, the best first.

    A gap is |log(measured / expected)|, summed over the measures.
    """
    gap = sum(abs(math.log(line.ratio)) for line in lines)
    if gap < math.log(_GAP):
        return []
    found = []
    for what, fields, look_at in tried:
        try:
            other = resolve(resolved.scenario.replace(**fields))
            then = calibrated_performance(other)
            predicted = [_expected(line.name, 1.0, other, then)[0] for line in lines]
        except RidgelineError:
            continue
        left = sum(abs(math.log(line.seconds / t)) for line, t in zip(lines, predicted,
                                                                      strict=True))
        explains = 1 - left / gap
        if explains >= _EXPLAINS:
            said = ", ".join(format_si(t, "s") for t in predicted)
            found.append(_Cause(what, said, explains, look_at))
    return sorted(found, key=lambda c: -c.explains)


def _cause_table(causes: list[_Cause]) -> Table:
    return Table.of("causes", {"what may be so": "1", "would give": "1", "explains": "%",
                               "look at": "1"},
                    [(c.what, c.predicted, 100 * c.explains, c.look_at) for c in causes],
                    title="Likely causes, the best explanation first")


# --- words ---------------------------------------------------------------------------------------

def _word(lines: list[_Line], worst: _Line) -> str:
    if any(line.seconds < line.floor * 0.995 for line in lines):
        return "impossible"
    if 10 <= worst.percentile <= 90:
        return "as expected"
    return "slower than expected" if worst.ratio > 1 else "faster than expected"


def _verdict(lines: list[_Line], worst: _Line) -> str:
    """One sentence: the measure that stands out, and how far."""
    below = [line for line in lines if line.seconds < line.floor * 0.995]
    if below:
        line = below[0]
        over = 100 * line.floor / line.seconds
        return (f"impossible: the measured {line.name} is {over:{'.0f' if over < 1e6 else '.3g'}} "
                f"% of the roofline; less work was done than stated")
    many = "" if worst.ratio < 2 else f" ({format_si(worst.ratio, 'x', 2)} the expected time)"
    beyond = worst.seconds / worst.floor if worst.floor else math.inf
    return (f"{_word(lines, worst)}: {worst.name} is at percentile {worst.percentile:.0f} of past "
            f"errors{many}, {format_si(beyond, 'x')} its floor")


def _notes(lines: list[_Line], worst: _Line, causes: list[_Cause]) -> tuple[str, ...]:
    notes = ["The interval is that of the calibrated model: past measurements against its "
             "predictions."]
    if not causes and not 10 <= worst.percentile <= 90:
        notes.append("No single change of the scenario that was tried explains a quarter of the "
                     "gap.")
    if any(line.seconds < line.floor for line in lines):
        notes.append("Below the floor: cached prompts, speculation, narrower weights, or a clock "
                     "that started late.")
    elif worst.percentile > 90:
        notes.append(f"Expected {format_si(worst.expected, 's')} "
                     f"({format_si(worst.low, 's')} - {format_si(worst.high, 's')}).")
    return tuple(notes)
